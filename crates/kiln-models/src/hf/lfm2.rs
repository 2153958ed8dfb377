//! LFM2 (2511.23404): gated short convolutions in most layers, grouped-query attention with RMSNorm of each head's queries and
//! keys in the others.
//!
//! Reference: `modeling_lfm2.py` of transformers.

use super::{
    Family,
    config_reader::ConfigReader,
    gguf::{self, Gguf},
    keys::{Absent::*, Constant::*, Convert, Key::*},
    layer_mixers::LayerMixers,
    names::{fused, linear, same},
    rope::Rotary,
    template::Holes,
};
use kiln_spec::ValidationError;
use serde_json::{Map, Value};

pub(super) const FAMILY: Family = Family {
    name: "lfm2",
    aliases: &[],
    architectures: &["Lfm2ForCausalLM", "Lfm2Model"],
    prefix: "model.",
    ignored_suffixes: &["rotary_emb.inv_freq"],
    keys: &[
        Size("vocab_size", "vocab", Is(65_536)),
        Size("hidden_size", "hidden", Is(2560)),
        Converted(&FeedForwardWidth),
        Layers("num_hidden_layers", "layers", 32),
        Size("conv_L_cache", "filter_width", Is(3)),
        Flag("conv_bias", "conv_bias", false),
        Size("num_attention_heads", "heads", Is(32)),
        Integer("num_key_value_heads", "kv_heads", Is(8)),
        Converted(&LayerMixers { other: "conv" }),
        Integer("head_dim", "head_dim", Null),
        Float("norm_eps", "eps", 1e-5),
        Converted(&Rotary { theta: 1e6, ..Rotary::scaled(128_000) }),
        Converted(&TiedHead),
        // In published files: copies of the keys above, initialization.
        Ignored(&["block_dim", "block_norm_eps", "block_use_swiglu", "use_pos_enc"]),
        Ignored(&["conv_dim", "conv_dim_out", "num_heads"]),
        Ignored(&["block_mlp_init_scale", "block_out_init_scale", "block_use_xavier_init", "conv_use_xavier_init"]),
        Written("use_cache", Bool(true)),
    ],
    template: r#"{
        "vocab": "$vocab", "hidden": "$hidden", "position": "$position",
        "blocks": { "$each": "$layers", "block": { "sublayers": [
            { "junction": { "pre": { "norm": { "rms": { "eps": "$eps" } } } },
              "parts": [{ "$case": "$mixer[]",
                  "conv": { "gated_convolution": { "conv_width": "$filter_width", "bias": "$conv_bias" } },
                  "full_attention": { "attention": { "projection": { "heads": {
                      "heads": "$heads", "kv_heads": "$kv_heads", "head_dim": "$head_dim",
                      "qk_norm": { "norm": { "rms": { "eps": "$eps" } }, "scope": "head" } } } } } }] },
            { "junction": { "pre": { "norm": { "rms": { "eps": "$eps" } } } },
              "parts": [{ "gated_mlp": { "intermediate": "$intermediate" } }] }
        ] } },
        "norm": { "rms": { "eps": "$eps" } },
        "head": { "language": { "tied": "$tied" } }
    }"#,
    names: &[&[
        same("embedding", "model.embed_tokens.weight"),
        same("blocks.{i}.mixer_norm", "model.layers.{i}.operator_norm"),
        same("blocks.{i}.attention_norm", "model.layers.{i}.operator_norm"),
        fused(&["blocks.{i}.mixer.b", "blocks.{i}.mixer.c", "blocks.{i}.mixer.x"], "model.layers.{i}.conv.in_proj"),
        linear("blocks.{i}.mixer.conv", "model.layers.{i}.conv.conv").with_unit_axis(1),
        linear("blocks.{i}.mixer.out", "model.layers.{i}.conv.out_proj"),
        linear("blocks.{i}.attention.q", "model.layers.{i}.self_attn.q_proj"),
        linear("blocks.{i}.attention.k", "model.layers.{i}.self_attn.k_proj"),
        linear("blocks.{i}.attention.v", "model.layers.{i}.self_attn.v_proj"),
        linear("blocks.{i}.attention.o", "model.layers.{i}.self_attn.out_proj"),
        same("blocks.{i}.attention.q_norm", "model.layers.{i}.self_attn.q_layernorm"),
        same("blocks.{i}.attention.k_norm", "model.layers.{i}.self_attn.k_layernorm"),
        same("blocks.{i}.feed_forward_norm", "model.layers.{i}.ffn_norm"),
        linear("blocks.{i}.feed_forward.gate", "model.layers.{i}.feed_forward.w1"),
        linear("blocks.{i}.feed_forward.up", "model.layers.{i}.feed_forward.w3"),
        linear("blocks.{i}.feed_forward.down", "model.layers.{i}.feed_forward.w2"),
        same("norm", "model.embedding_norm"),
        linear("head", "lm_head"),
        same("embedding", "lm_head.weight").if_tied(),
    ]],
    gguf: Some(Gguf {
        names: gguf::names::SHORT_CONVOLUTIONS,
        fixed: &[("conv_bias", Bool(false)), ("head_dim", Nothing)],
        ..Gguf::new("lfm2")
    }),
};

/// `intermediate_size` (`block_ff_dim`), which the reference reduces to two thirds, rounded up, with `block_auto_adjust_ff_dim`.
struct FeedForwardWidth;

impl Convert for FeedForwardWidth {
    fn read(&self, fields: &ConfigReader, holes: &mut Holes) -> Result<(), ValidationError> {
        let size = fields.size("block_ff_dim", fields.size("intermediate_size", 12_288)?)?;
        let (multiple, factor) = (fields.size("block_multiple_of", 256)?, fields.float("block_ffn_dim_multiplier")?);
        let width = match fields.flag("block_auto_adjust_ff_dim", true)? {
            false => size,
            true if fields.is_null("block_ffn_dim_multiplier") => 2 * size / 3,
            true => ((factor.unwrap_or(1.0) * (2 * size / 3) as f64) as usize).min(1 << 28).next_multiple_of(multiple),
        };
        holes.set("intermediate", width);
        Ok(())
    }

    fn write(&self, holes: &Holes, json: &mut Map<String, Value>) -> Result<(), ValidationError> {
        json.insert("intermediate_size".into(), holes.get("intermediate").clone());
        json.insert("block_auto_adjust_ff_dim".into(), false.into());
        Ok(())
    }

    fn gguf_holes(&self) -> &'static [&'static str] {
        &["intermediate"]
    }
}

/// `tie_word_embeddings`, or `tie_embedding`, which the reference prefers.
struct TiedHead;

impl Convert for TiedHead {
    fn read(&self, fields: &ConfigReader, holes: &mut Holes) -> Result<(), ValidationError> {
        holes.set("tied", fields.flag("tie_embedding", fields.flag("tie_word_embeddings", true)?)?);
        Ok(())
    }

    fn write(&self, holes: &Holes, json: &mut Map<String, Value>) -> Result<(), ValidationError> {
        json.insert("tie_word_embeddings".into(), holes.get("tied").as_bool().unwrap_or(false).into());
        Ok(())
    }

    fn gguf_holes(&self) -> &'static [&'static str] {
        &["tied"]
    }
}
