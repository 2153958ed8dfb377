//! Gemma (2403.08295): the form of Llama with norms of weight 1 + w, embeddings multiplied by √hidden, and a gated MLP with GELU.
//!
//! Reference: `modeling_gemma.py` of transformers.

use super::{
    Family,
    gguf::{self, Gguf},
    keys::{Absent::*, Constant::*, Key::*},
    llama_like,
    rope::Rotary,
    scales::EmbeddingScale,
};

pub(super) const FAMILY: Family = Family {
    name: "gemma",
    aliases: &[],
    architectures: &["GemmaForCausalLM", "GemmaModel"],
    prefix: "model.",
    ignored_suffixes: &["rotary_emb.inv_freq"],
    keys: &[
        Size("vocab_size", "vocab", Is(256_000)),
        Size("hidden_size", "hidden", Is(3072)),
        Size("intermediate_size", "intermediate", Is(24_576)),
        Layers("num_hidden_layers", "layers", 28),
        Size("num_attention_heads", "heads", Is(16)),
        Integer("num_key_value_heads", "kv_heads", Is(16)),
        Integer("head_dim", "head_dim", Is(256)),
        Activation("hidden_act", "activation", "gelu_pytorch_tanh"),
        Float("rms_norm_eps", "eps", 1e-6),
        Flag("tie_word_embeddings", "tied", true),
        Converted(&Rotary::scaled(8192)),
        Flag("attention_bias", "bias", false),
        Converted(&EmbeddingScale),
        Only("use_bidirectional_attention", Bool(false)),
        // An older name of the activation, which the reference does not read.
        Ignored(&["hidden_activation"]),
        NoDropout("attention_dropout"),
        Only("is_causal", Bool(true)),
        Written("use_cache", Bool(true)),
    ],
    template: r#"{
        "vocab": "$vocab", "hidden": "$hidden", "embedding": { "scale": "$embedding_scale" }, "position": "$position",
        "blocks": { "$each": "$layers", "block": { "sublayers": [
            { "junction": { "pre": { "norm": { "rms": { "eps": "$eps", "unit_offset": true } } } },
              "parts": [{ "attention": { "projection": { "heads": {
                  "heads": "$heads", "kv_heads": "$kv_heads", "head_dim": "$head_dim", "bias": "$bias" } } } }] },
            { "junction": { "pre": { "norm": { "rms": { "eps": "$eps", "unit_offset": true } } } },
              "parts": [{ "gated_mlp": { "intermediate": "$intermediate", "activation": "$activation" } }] }
        ] } },
        "norm": { "rms": { "eps": "$eps", "unit_offset": true } },
        "head": { "language": { "tied": "$tied" } }
    }"#,
    names: &[llama_like::OUTER_NAMES, llama_like::ATTENTION_NAMES, llama_like::GATED_MLP_NAMES, llama_like::NORM_NAMES],
    gguf: Some(Gguf {
        names: gguf::names::UNIT_OFFSET,
        fixed: &[("bias", Bool(false)), ("tied", Bool(true))],
        ..Gguf::new("gemma")
    }),
};
