//! Command R (Cohere 2024): attention and gated MLP in parallel under one LayerNorm without bias, rotary positions in interleaved
//! pairs, and a factor of the logits.
//!
//! Command R+ also has a norm of queries and keys with weights for each head. Reference: `modeling_cohere.py` of transformers.

use super::{
    Family,
    each_head_norm::EachHeadNorm,
    gguf::{self, Gguf},
    keys::{Absent::*, Constant::*, Key::*},
    llama_like,
    names::same,
    rope::Rotary,
    scales::LogitScale,
};

pub(super) const FAMILY: Family = Family {
    name: "cohere",
    aliases: &[],
    architectures: &["CohereForCausalLM", "CohereModel"],
    prefix: "model.",
    ignored_suffixes: &["rotary_emb.inv_freq"],
    keys: &[
        Size("vocab_size", "vocab", Is(256_000)),
        Size("hidden_size", "hidden", Is(8192)),
        Size("intermediate_size", "intermediate", Is(22_528)),
        Layers("num_hidden_layers", "layers", 40),
        Size("num_attention_heads", "heads", Is(64)),
        Integer("num_key_value_heads", "kv_heads", Null),
        Integer("head_dim", "head_dim", Null),
        Activation("hidden_act", "activation", "silu"),
        Float("layer_norm_eps", "eps", 1e-5),
        Flag("tie_word_embeddings", "tied", true),
        Converted(&Rotary { theta: 500_000.0, interleaved: true, ..Rotary::scaled(8192) }),
        Flag("attention_bias", "bias", false),
        Converted(&EachHeadNorm { key: "use_qk_norm", gguf_layers: 64 }),
        Converted(&LogitScale { key: "logit_scale", absent: 0.0625, divides: false }),
        NoDropout("attention_dropout"),
        Only("is_causal", Bool(true)),
        Written("use_cache", Bool(true)),
    ],
    template: r#"{
        "vocab": "$vocab", "hidden": "$hidden", "position": "$position",
        "blocks": { "$each": "$layers", "block": { "sublayers": [
            { "junction": { "pre": { "norm": { "layer": { "eps": "$eps", "bias": false } } } }, "parts": [
                { "attention": { "projection": { "heads": { "heads": "$heads", "kv_heads": "$kv_heads", "head_dim": "$head_dim",
                    "bias": "$bias", "qk_norm": "$qk_norm" } } } },
                { "gated_mlp": { "intermediate": "$intermediate", "activation": "$activation" } }] }
        ] } },
        "norm": { "layer": { "eps": "$eps", "bias": false } },
        "head": { "language": { "tied": "$tied", "scale": "$logit_scale" } }
    }"#,
    names: &[
        llama_like::OUTER_NAMES,
        llama_like::ATTENTION_NAMES,
        llama_like::GATED_MLP_NAMES,
        llama_like::NORM_NAMES,
        &[
            same("blocks.{i}.attention.q_norm", "model.layers.{i}.self_attn.q_norm").head_rows(),
            same("blocks.{i}.attention.k_norm", "model.layers.{i}.self_attn.k_norm").head_rows(),
        ],
    ],
    gguf: Some(Gguf {
        names: gguf::names::HEAD_NORMS,
        fixed: &[("bias", Bool(false)), ("tied", Bool(true))],
        ..Gguf::new("command-r")
    }),
};
