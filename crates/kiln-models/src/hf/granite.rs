//! Granite 3 (2024): the form of Llama with factors of embeddings, scores, residual connections and logits.
//!
//! Reference: `modeling_granite.py` of transformers.

use super::{
    Family,
    gguf::{self, Gguf},
    keys::{Absent::*, Constant::*, Key::*},
    llama_like,
    rope::Rotary,
    scales::LogitScale,
};

pub(super) const FAMILY: Family = Family {
    name: "granite",
    aliases: &[],
    architectures: &["GraniteForCausalLM", "GraniteModel"],
    prefix: "model.",
    ignored_suffixes: &["rotary_emb.inv_freq"],
    keys: &[
        Size("vocab_size", "vocab", Is(32_000)),
        Size("hidden_size", "hidden", Is(4096)),
        Size("intermediate_size", "intermediate", Is(11_008)),
        Layers("num_hidden_layers", "layers", 32),
        Size("num_attention_heads", "heads", Is(32)),
        Integer("num_key_value_heads", "kv_heads", Null),
        Fixed("head_dim", Nothing),
        Activation("hidden_act", "activation", "silu"),
        Float("rms_norm_eps", "eps", 1e-6),
        Flag("tie_word_embeddings", "tied", false),
        Converted(&Rotary::scaled(2048)),
        Flag("attention_bias", "bias", false),
        Flag("mlp_bias", "mlp_bias", false),
        Float("embedding_multiplier", "embedding_scale", 1.0),
        Float("attention_multiplier", "score_scale", 1.0),
        Float("residual_multiplier", "residual_multiplier", 1.0),
        Converted(&LogitScale { key: "logits_scaling", absent: 1.0, divides: true }),
        NoDropout("attention_dropout"),
        Only("is_causal", Bool(true)),
        Written("use_cache", Bool(true)),
    ],
    template: r#"{
        "vocab": "$vocab", "hidden": "$hidden", "embedding": { "scale": "$embedding_scale" }, "position": "$position",
        "blocks": { "$each": "$layers", "block": { "sublayers": [
            { "junction": { "pre": { "norm": { "rms": { "eps": "$eps" } }, "residual_multiplier": "$residual_multiplier" } },
              "parts": [{ "attention": { "projection": { "heads": {
                  "heads": "$heads", "kv_heads": "$kv_heads", "bias": "$bias", "scale": "$score_scale" } } } }] },
            { "junction": { "pre": { "norm": { "rms": { "eps": "$eps" } }, "residual_multiplier": "$residual_multiplier" } },
              "parts": [{ "gated_mlp": { "intermediate": "$intermediate", "activation": "$activation", "bias": "$mlp_bias" } }] }
        ] } },
        "norm": { "rms": { "eps": "$eps" } },
        "head": { "language": { "tied": "$tied", "scale": "$logit_scale" } }
    }"#,
    names: &[llama_like::OUTER_NAMES, llama_like::ATTENTION_NAMES, llama_like::GATED_MLP_NAMES, llama_like::NORM_NAMES],
    gguf: Some(Gguf { names: gguf::names::INTERLEAVED, frequency_factors: true, ..Gguf::new("granite") }),
};
