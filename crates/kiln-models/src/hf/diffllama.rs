//! DiffLlama: Llama with differential attention (2410.05258), whose norm has no weight.
//!
//! Reference: `modeling_diffllama.py` of transformers.

use super::{
    Family,
    keys::{Absent::*, Constant::*, Key::*},
    llama_like,
    names::same,
    rope::Rotary,
};

pub(super) const FAMILY: Family = Family {
    name: "diffllama",
    aliases: &[],
    architectures: &["DiffLlamaForCausalLM", "DiffLlamaModel"],
    prefix: "model.",
    ignored_suffixes: &["rotary_emb.inv_freq"],
    keys: &[
        Size("vocab_size", "vocab", Is(32_000)),
        Size("hidden_size", "hidden", Is(2048)),
        Size("intermediate_size", "intermediate", Is(8192)),
        Layers("num_hidden_layers", "layers", 16),
        Size("num_attention_heads", "heads", Is(32)),
        Integer("num_key_value_heads", "kv_heads", Null),
        Integer("head_dim", "head_dim", Null),
        Activation("hidden_act", "activation", "silu"),
        Float("rms_norm_eps", "eps", 1e-5),
        Flag("tie_word_embeddings", "tied", false),
        Converted(&Rotary::scaled(2048)),
        Flag("attention_bias", "bias", false),
        NoDropout("attention_dropout"),
        Only("is_causal", Bool(true)),
        // Standard deviation of the initial λ, which a file already has.
        Ignored(&["lambda_std_dev"]),
        Written("use_cache", Bool(true)),
    ],
    template: r#"{
        "vocab": "$vocab", "hidden": "$hidden", "position": "$position",
        "blocks": { "$each": "$layers", "block": { "sublayers": [
            { "junction": { "pre": { "norm": { "rms": { "eps": "$eps" } } } },
              "parts": [{ "attention": {
                  "projection": { "heads": {
                      "heads": "$heads", "kv_heads": "$kv_heads", "head_dim": "$head_dim", "bias": "$bias" } },
                  "score": { "differential": { "eps": "$eps", "norm_weight": false } } } }] },
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
        &[
            same("blocks.{i}.attention.score.lambda_q1", "model.layers.{i}.self_attn.lambda_q1"),
            same("blocks.{i}.attention.score.lambda_k1", "model.layers.{i}.self_attn.lambda_k1"),
            same("blocks.{i}.attention.score.lambda_q2", "model.layers.{i}.self_attn.lambda_q2"),
            same("blocks.{i}.attention.score.lambda_k2", "model.layers.{i}.self_attn.lambda_k2"),
        ],
    ],
    gguf: None,
};
