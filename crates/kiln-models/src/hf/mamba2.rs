//! Mamba-2 (2405.21060): a state-space model without attention and without feed-forward layers.
//!
//! Reference: `modeling_mamba2.py` of transformers.

use super::{
    Family,
    config_reader::ConfigReader,
    gguf::{self, Gguf, GgufFields, GgufMetadata},
    keys::{Absent::*, Constant::*, Convert, Key::*},
    names::{fused, linear, same},
    template::Holes,
};
use kiln_spec::ValidationError;
use serde_json::{Map, Value, json};

pub(super) const FAMILY: Family = Family {
    name: "mamba2",
    aliases: &[],
    architectures: &["Mamba2ForCausalLM", "Mamba2Model"],
    prefix: "backbone.",
    ignored_suffixes: &[],
    keys: &[
        Size("vocab_size", "vocab", Is(32_768)),
        Size("hidden_size", "hidden", Is(4096)),
        Layers("num_hidden_layers", "layers", 64),
        Size("num_heads", "heads", Is(128)),
        Size("head_dim", "head_dim", Is(64)),
        Converted(&Expansion),
        Size("state_size", "state_size", Is(128)),
        Size("n_groups", "groups", Is(8)),
        Size("conv_kernel", "conv_width", Is(4)),
        Flag("use_conv_bias", "conv_bias", true),
        Flag("use_bias", "bias", false),
        Float("time_step_min", "time_step_min", 0.001),
        Float("time_step_max", "time_step_max", 0.1),
        Float("time_step_floor", "time_step_floor", 1e-4),
        Converted(&TimeStepLimit),
        Float("layer_norm_epsilon", "eps", 1e-5),
        Flag("tie_word_embeddings", "tied", false),
        Only("hidden_act", Text("silu")),
        // How the scan is computed, precision, initialization; the last is not read.
        Ignored(&["chunk_size", "residual_in_fp32", "rescale_prenorm_residual", "time_step_rank"]),
        Written("use_cache", Bool(true)),
    ],
    template: r#"{
        "vocab": "$vocab", "hidden": "$hidden", "position": "none",
        "blocks": { "$each": "$layers", "block": { "sublayers": [
            { "junction": { "pre": { "norm": { "rms": { "eps": "$eps" } } } },
              "parts": [{ "mamba2": { "heads": "$heads", "head_dim": "$head_dim", "state_size": "$state_size",
                  "groups": "$groups", "norm_groups": "$groups", "norm_eps": "$eps", "conv_width": "$conv_width",
                  "conv_bias": "$conv_bias", "bias": "$bias", "time_step_range": ["$time_step_min", "$time_step_max"],
                  "time_step_floor": "$time_step_floor", "time_step_limit": "$time_step_limit" } }] }
        ] } },
        "norm": { "rms": { "eps": "$eps" } },
        "head": { "language": { "tied": "$tied" } }
    }"#,
    names: &[&[
        same("embedding", "backbone.embeddings.weight"),
        same("blocks.{i}.mixer_norm", "backbone.layers.{i}.norm"),
        fused(
            &[
                "blocks.{i}.mixer.gate",
                "blocks.{i}.mixer.x",
                "blocks.{i}.mixer.b",
                "blocks.{i}.mixer.c",
                "blocks.{i}.mixer.dt",
            ],
            "backbone.layers.{i}.mixer.in_proj",
        ),
        fused(
            &["blocks.{i}.mixer.x_conv", "blocks.{i}.mixer.b_conv", "blocks.{i}.mixer.c_conv"],
            "backbone.layers.{i}.mixer.conv1d",
        )
        .with_unit_axis(1),
        same("blocks.{i}.mixer.dt_bias", "backbone.layers.{i}.mixer.dt_bias"),
        same("blocks.{i}.mixer.a_log", "backbone.layers.{i}.mixer.A_log"),
        same("blocks.{i}.mixer.d", "backbone.layers.{i}.mixer.D"),
        same("blocks.{i}.mixer.norm", "backbone.layers.{i}.mixer.norm"),
        linear("blocks.{i}.mixer.out", "backbone.layers.{i}.mixer.out_proj"),
        same("norm", "backbone.norm_f"),
        linear("head", "lm_head"),
        same("embedding", "lm_head.weight").if_tied(),
    ]],
    // llama.cpp expects biases of the convolution, and none of the linear maps.
    gguf: Some(Gguf {
        names: gguf::names::STATE_SPACE,
        fixed: &[("conv_bias", Bool(true)), ("bias", Bool(false))],
        renamed: &[("heads", "ssm.time_step_rank"), ("head_dim", INNER_KEY)],
        ..Gguf::new("mamba2")
    }),
};

/// The width of all heads in GGUF.
const INNER_KEY: &str = "ssm.inner_size";

/// `expand`: the width of all heads is so many times `hidden_size`. Reads the holes `hidden`, `heads` and `head_dim`.
struct Expansion;

impl Convert for Expansion {
    fn read(&self, fields: &ConfigReader, holes: &mut Holes) -> Result<(), ValidationError> {
        let (hidden, expand) = (holes.integer("hidden"), fields.size("expand", 2)?);
        let (heads, head_dim) = (holes.integer("heads"), holes.integer("head_dim"));
        if hidden.saturating_mul(expand) == heads.saturating_mul(head_dim) {
            return Ok(());
        }
        let reason = format!(
            "expected hidden_size · expand = num_heads · head_dim, found {hidden} · {expand} and {heads} · {head_dim}"
        );
        Err(ValidationError::new("expand", reason))
    }

    /// Whether the width is a multiple is found when the file is read back.
    fn write(&self, holes: &Holes, json: &mut Map<String, Value>) -> Result<(), ValidationError> {
        let width = holes.integer("heads") * holes.integer("head_dim");
        json.insert("expand".into(), (width / holes.integer("hidden").max(1)).max(1).into());
        Ok(())
    }

    fn read_gguf(&self, fields: &GgufFields, holes: &mut Holes) -> Result<(), ValidationError> {
        let (width, heads) = (fields.size(INNER_KEY)?, holes.integer("heads"));
        if !width.is_multiple_of(heads.max(1)) {
            return Err(fields.error(INNER_KEY, format!("expected a multiple of the {heads} heads, found {width}")));
        }
        holes.set("head_dim", width / heads);
        Ok(())
    }

    /// llama.cpp requires the keys of attention and feed-forward parts, with 0 for none.
    fn write_gguf(&self, holes: &Holes, out: &mut GgufMetadata) -> Result<(), ValidationError> {
        out.set(INNER_KEY, holes.integer("heads") * holes.integer("head_dim"));
        out.set("attention.head_count", 0);
        out.set("feed_forward_length", 0);
        Ok(())
    }
}

/// `time_step_limit`: the lowest and the highest time step. Hole: `time_step_limit`, `null` for any above 0.
struct TimeStepLimit;

impl TimeStepLimit {
    /// The two numbers. Infinity is `{ "__float__": "Infinity" }` in JSON.
    fn parse(value: &Value) -> Option<[f64; 2]> {
        let number = |value: &Value| match value["__float__"].as_str() {
            Some("Infinity") => Some(f64::INFINITY),
            _ => value.as_f64(),
        };
        match &value.as_array()?[..] {
            [low, high] => Some([number(low)?, number(high)?]),
            _ => None,
        }
    }
}

impl Convert for TimeStepLimit {
    fn read(&self, fields: &ConfigReader, holes: &mut Holes) -> Result<(), ValidationError> {
        let limit = fields.get("time_step_limit").map(|value| {
            let reason = || ValidationError::new("time_step_limit", format!("expected two numbers, found {value}"));
            Self::parse(value).ok_or_else(reason)
        });
        let limit = limit.transpose()?.filter(|limit| *limit != [0.0, f64::INFINITY]);
        // Infinity is no number in a configuration: the greatest that is stands for it.
        holes.set("time_step_limit", limit.map(|[low, high]| vec![low, high.min(f64::MAX)]));
        Ok(())
    }

    fn write(&self, holes: &Holes, json: &mut Map<String, Value>) -> Result<(), ValidationError> {
        if let [low, high] = holes.layers("time_step_limit") {
            let is_infinite = high.as_f64() == Some(f64::MAX);
            let high = if is_infinite { json!({ "__float__": "Infinity" }) } else { high.clone() };
            json.insert("time_step_limit".into(), json!([low, high]));
        }
        Ok(())
    }
}
