//! SmolLM3 (2025): the form of Llama without positions in some layers.
//!
//! `no_rope_layers` has 0 for a layer without positions; without it, every fourth layer has none. Reference:
//! `modeling_smollm3.py` of transformers.

use super::{
    Family,
    config_reader::ConfigReader,
    gguf::{self, Gguf},
    keys::{Absent::*, Constant::*, Convert, Key::*},
    llama_like,
    rope::Rotary,
    template::Holes,
};
use kiln_spec::ValidationError;
use serde_json::{Map, Value};

pub(super) const FAMILY: Family = Family {
    name: "smollm3",
    aliases: &[],
    architectures: &["SmolLM3ForCausalLM", "SmolLM3Model"],
    prefix: "model.",
    ignored_suffixes: &["rotary_emb.inv_freq"],
    keys: &[
        Size("vocab_size", "vocab", Is(128_256)),
        Size("hidden_size", "hidden", Is(2048)),
        Size("intermediate_size", "intermediate", Is(11_008)),
        Layers("num_hidden_layers", "layers", 36),
        Size("num_attention_heads", "heads", Is(16)),
        Integer("num_key_value_heads", "kv_heads", Is(4)),
        Fixed("head_dim", Nothing),
        Activation("hidden_act", "activation", "silu"),
        Float("rms_norm_eps", "eps", 1e-6),
        Flag("tie_word_embeddings", "tied", true),
        Converted(&Rotary { theta: 2e6, ..Rotary::scaled(32_768) }),
        Flag("attention_bias", "bias", false),
        Flag("mlp_bias", "mlp_bias", false),
        Converted(&NoPositionLayers),
        Only("use_sliding_window", Bool(false)),
        Ignored(&["sliding_window", "layer_types"]),
        Ignored(&["pretraining_tp"]),
        NoDropout("attention_dropout"),
        Only("is_causal", Bool(true)),
        Written("use_cache", Bool(true)),
    ],
    template: r#"{
        "vocab": "$vocab", "hidden": "$hidden", "position": "$position",
        "blocks": { "$each": "$layers", "block": { "sublayers": [
            { "junction": { "pre": { "norm": { "rms": { "eps": "$eps" } } } },
              "parts": [{ "attention": { "position": "$layer_position[]", "projection": { "heads": {
                  "heads": "$heads", "kv_heads": "$kv_heads", "bias": "$bias" } } } }] },
            { "junction": { "pre": { "norm": { "rms": { "eps": "$eps" } } } },
              "parts": [{ "gated_mlp": { "intermediate": "$intermediate", "activation": "$activation", "bias": "$mlp_bias" } }] }
        ] } },
        "norm": { "rms": { "eps": "$eps" } },
        "head": { "language": { "tied": "$tied" } }
    }"#,
    names: &[llama_like::OUTER_NAMES, llama_like::ATTENTION_NAMES, llama_like::GATED_MLP_NAMES, llama_like::NORM_NAMES],
    gguf: Some(Gguf {
        names: gguf::names::INTERLEAVED,
        fixed: &[("bias", Bool(false)), ("mlp_bias", Bool(false))],
        ..Gguf::new("smollm3")
    }),
};

/// `no_rope_layers` and `no_rope_layer_interval`: the layers without positions. Hole for each layer: `layer_position`.
struct NoPositionLayers;

impl Convert for NoPositionLayers {
    fn read(&self, fields: &ConfigReader, holes: &mut Holes) -> Result<(), ValidationError> {
        let layers = holes.integer("layers");
        let interval = fields.size("no_rope_layer_interval", 4)?;
        let rotates: Vec<bool> = match fields.get("no_rope_layers").and_then(Value::as_array) {
            None => (1..=layers).map(|layer| layer % interval != 0).collect(),
            Some(list) if list.len() == layers => list.iter().map(|entry| entry.as_u64() != Some(0)).collect(),
            Some(list) => {
                let reason = format!("expected {layers} numbers, one for each layer, found {}", list.len());
                return Err(ValidationError::new("no_rope_layers", reason));
            }
        };
        let positions = rotates.into_iter().map(|rotates| if rotates { Value::Null } else { "none".into() });
        holes.set("layer_position", positions.collect::<Vec<_>>());
        Ok(())
    }

    fn write(&self, holes: &Holes, json: &mut Map<String, Value>) -> Result<(), ValidationError> {
        let rotates = holes.layers("layer_position").iter().map(|position| u64::from(position.is_null()));
        json.insert("no_rope_layers".into(), rotates.collect::<Vec<_>>().into());
        Ok(())
    }
}
