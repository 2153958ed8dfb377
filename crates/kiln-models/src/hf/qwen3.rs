//! Qwen3 (2505.09388): Qwen2 with RMSNorm of the queries and keys of each head, and biases only with `attention_bias`.
//!
//! Reference: `modeling_qwen3.py` of transformers.

use super::{
    Family,
    gguf::Gguf,
    keys::{Absent::*, Constant::*, Key::*},
    llama_like,
    rope::Rotary,
    windows::LayerTypes,
};

pub(super) const FAMILY: Family = Family {
    name: "qwen3",
    aliases: &[],
    architectures: &["Qwen3ForCausalLM", "Qwen3Model"],
    prefix: "model.",
    ignored_suffixes: &["rotary_emb.inv_freq"],
    keys: &[
        Size("vocab_size", "vocab", Is(151_936)),
        Size("hidden_size", "hidden", Is(4096)),
        Size("intermediate_size", "intermediate", Is(22_016)),
        Layers("num_hidden_layers", "layers", 32),
        Size("num_attention_heads", "heads", Is(32)),
        Integer("num_key_value_heads", "kv_heads", Is(32)),
        Integer("head_dim", "head_dim", Is(128)),
        Activation("hidden_act", "activation", "silu"),
        Float("rms_norm_eps", "eps", 1e-6),
        Flag("tie_word_embeddings", "tied", false),
        Converted(&Rotary::scaled(32_768)),
        Flag("attention_bias", "bias", false),
        Converted(&LayerTypes::AFTER_FULL),
        NoDropout("attention_dropout"),
        Only("is_causal", Bool(true)),
        Written("use_cache", Bool(true)),
    ],
    template: r#"{
        "vocab": "$vocab", "hidden": "$hidden", "position": "$position",
        "blocks": { "$each": "$layers", "block": { "sublayers": [
            { "junction": { "pre": { "norm": { "rms": { "eps": "$eps" } } } },
              "parts": [{ "attention": { "pattern": "$pattern[]", "projection": { "heads": {
                  "heads": "$heads", "kv_heads": "$kv_heads", "head_dim": "$head_dim", "bias": "$bias",
                  "qk_norm": { "norm": { "rms": { "eps": "$eps" } }, "scope": "head" } } } } }] },
            { "junction": { "pre": { "norm": { "rms": { "eps": "$eps" } } } },
              "parts": [{ "gated_mlp": { "intermediate": "$intermediate", "activation": "$activation" } }] }
        ] } },
        "norm": { "rms": { "eps": "$eps" } },
        "head": { "language": { "tied": "$tied" } }
    }"#,
    names: &[
        llama_like::OUTER_NAMES,
        llama_like::ATTENTION_NAMES,
        llama_like::GATED_MLP_NAMES,
        llama_like::NORM_NAMES,
        llama_like::QK_NORM_NAMES,
    ],
    gguf: Some(Gguf { fixed: &[("bias", Bool(false))], ..Gguf::new("qwen3") }),
};
