//! GPT-BigCode, the architecture of SantaCoder (2301.03988) and StarCoder (2305.06161): GPT-2 with multi-query attention.
//!
//! `c_attn` has all queries, then the key and the value; without `multi_query`, the query, key and value of each head. Unlike in
//! GPT-2, its matrices are `[out, in]`. Reference: `modeling_gpt_bigcode.py` of transformers.

use super::{
    Family,
    config_reader::ConfigReader,
    gguf::{self, Gguf},
    keys::{Absent::*, Constant::*, Convert, Key::*},
    names::{fused, linear, same},
    scales::ScaledScores,
    template::Holes,
};
use kiln_spec::ValidationError;
use serde_json::{Map, Value};

pub(super) const FAMILY: Family = Family {
    name: "gpt_bigcode",
    aliases: &[],
    architectures: &["GPTBigCodeForCausalLM", "GPTBigCodeModel"],
    prefix: "transformer.",
    ignored_suffixes: &[".attn.bias", ".attn.masked_bias"],
    keys: &[
        Size("vocab_size", "vocab", Is(50_257)),
        Size("n_embd", "hidden", Is(768)),
        Size("n_positions", "length", Is(1024)),
        Layers("n_layer", "layers", 12),
        Size("n_head", "heads", Is(12)),
        Converted(&MultiQuery),
        Converted(&ScaledScores("scale_attn_weights")),
        Integer("n_inner", "intermediate", Times(4, "hidden")),
        Activation("activation_function", "activation", "gelu_pytorch_tanh"),
        Dropout(&["resid_pdrop", "embd_pdrop", "attn_pdrop"], "dropout", 0.1),
        Float("layer_norm_epsilon", "eps", 1e-5),
        Flag("tie_word_embeddings", "tied", true),
        Only("add_cross_attention", Bool(false)),
        // Rounding, and a number that the reference computes from `multi_query`.
        Ignored(&["attention_softmax_in_fp32", "scale_attention_softmax_in_fp32", "num_key_value_heads"]),
        Only("is_causal", Bool(true)),
        Written("use_cache", Bool(true)),
    ],
    template: r#"{
        "vocab": "$vocab", "hidden": "$hidden", "dropout": "$dropout",
        "position": { "learned": { "max_position_embeddings": "$length" } },
        "blocks": { "$each": "$layers", "block": { "sublayers": [
            { "junction": { "pre": { "norm": { "layer": { "eps": "$eps" } } } }, "parts": [{ "attention": { "projection": {
                "heads": { "heads": "$heads", "kv_heads": "$kv_heads", "bias": true, "scale": "$score_scale" } } } }] },
            { "junction": { "pre": { "norm": { "layer": { "eps": "$eps" } } } },
              "parts": [{ "mlp": { "intermediate": "$intermediate", "activation": "$activation", "bias": true } }] }
        ] } },
        "norm": { "layer": { "eps": "$eps" } },
        "head": { "language": { "tied": "$tied" } }
    }"#,
    names: &[&[
        same("embedding", "transformer.wte.weight"),
        same("position", "transformer.wpe"),
        fused(
            &["blocks.{i}.attention.q", "blocks.{i}.attention.k", "blocks.{i}.attention.v"],
            "transformer.h.{i}.attn.c_attn",
        )
        .by_head(),
        linear("blocks.{i}.attention.o", "transformer.h.{i}.attn.c_proj"),
        linear("blocks.{i}.feed_forward.up", "transformer.h.{i}.mlp.c_fc"),
        linear("blocks.{i}.feed_forward.down", "transformer.h.{i}.mlp.c_proj"),
        same("blocks.{i}.attention_norm", "transformer.h.{i}.ln_1"),
        same("blocks.{i}.feed_forward_norm", "transformer.h.{i}.ln_2"),
        same("norm", "transformer.ln_f"),
        linear("head", "lm_head"),
        same("embedding", "lm_head.weight").if_tied(),
    ]],
    gguf: Some(Gguf { names: gguf::names::FUSED, ..Gguf::new("starcoder") }),
};

/// `multi_query`: one key-value head, or as many as there are heads. Hole: `kv_heads`. Reads the hole `heads`.
struct MultiQuery;

impl Convert for MultiQuery {
    fn read(&self, fields: &ConfigReader, holes: &mut Holes) -> Result<(), ValidationError> {
        let kv_heads = if fields.flag("multi_query", true)? { 1 } else { holes.integer("heads") };
        holes.set("kv_heads", kv_heads);
        Ok(())
    }

    fn write(&self, holes: &Holes, json: &mut Map<String, Value>) -> Result<(), ValidationError> {
        json.insert("multi_query".into(), (holes.integer("kv_heads") == 1).into());
        Ok(())
    }

    fn gguf_holes(&self) -> &'static [&'static str] {
        &["kv_heads"]
    }
}
