//! StableLM (Stability AI 2023): LayerNorm, gated MLP, and rotary positions for a part of a head.
//!
//! StableLM 2 12B has the parts in parallel under one norm, and a norm of queries and keys with weights for each head, which are
//! a tensor each in the file. Reference: `modeling_stablelm.py` of transformers.

use super::{
    Family,
    each_head_norm::EachHeadNorm,
    gguf::{self, Gguf},
    keys::{Absent::*, Constant::*, Key::*},
    llama_like,
    names::same,
    rope::Rotary,
};

pub(super) const FAMILY: Family = Family {
    name: "stablelm",
    aliases: &[],
    architectures: &["StableLmForCausalLM", "StableLmModel"],
    prefix: "model.",
    ignored_suffixes: &["rotary_emb.inv_freq"],
    keys: &[
        Size("vocab_size", "vocab", Is(50_304)),
        Size("hidden_size", "hidden", Is(2560)),
        Size("intermediate_size", "intermediate", Is(6912)),
        Layers("num_hidden_layers", "layers", 32),
        Size("num_attention_heads", "heads", Is(32)),
        Integer("num_key_value_heads", "kv_heads", Is(32)),
        Fixed("head_dim", Nothing),
        Activation("hidden_act", "activation", "silu"),
        Float("layer_norm_eps", "eps", 1e-5),
        Flag("tie_word_embeddings", "tied", false),
        Converted(&Rotary::partial(4096, 0.25)),
        Flag("use_qkv_bias", "bias", false),
        Converted(&EachHeadNorm { key: "qk_layernorm", gguf_layers: 0 }),
        Flag("use_parallel_residual", "parallel", false),
        NoDropout("hidden_dropout"),
        NoDropout("attention_dropout"),
        Only("is_causal", Bool(true)),
        Written("use_cache", Bool(true)),
    ],
    template: r#"{
        "vocab": "$vocab", "hidden": "$hidden", "position": "$position",
        "blocks": { "$each": "$layers", "block": { "sublayers": { "$case": "$parallel",
            "true": [{ "junction": { "pre": { "norm": { "layer": { "eps": "$eps" } } } }, "parts": [
                { "attention": { "projection": { "heads": { "heads": "$heads", "kv_heads": "$kv_heads", "bias": "$bias",
                    "out_bias": false, "qk_norm": "$qk_norm" } } } },
                { "gated_mlp": { "intermediate": "$intermediate", "activation": "$activation" } }] }],
            "false": [
                { "junction": { "pre": { "norm": { "layer": { "eps": "$eps" } } } }, "parts": [
                    { "attention": { "projection": { "heads": { "heads": "$heads", "kv_heads": "$kv_heads", "bias": "$bias",
                        "out_bias": false, "qk_norm": "$qk_norm" } } } }] },
                { "junction": { "pre": { "norm": { "layer": { "eps": "$eps" } } } },
                  "parts": [{ "gated_mlp": { "intermediate": "$intermediate", "activation": "$activation" } }] }]
        } } },
        "norm": { "layer": { "eps": "$eps" } },
        "head": { "language": { "tied": "$tied" } }
    }"#,
    names: &[
        llama_like::OUTER_NAMES,
        llama_like::ATTENTION_NAMES,
        llama_like::GATED_MLP_NAMES,
        llama_like::NORM_NAMES,
        &[
            same("blocks.{i}.attention.q_norm", "model.layers.{i}.self_attn.q_layernorm.norms.{e}").head_rows(),
            same("blocks.{i}.attention.k_norm", "model.layers.{i}.self_attn.k_layernorm.norms.{e}").head_rows(),
        ],
    ],
    gguf: Some(Gguf { names: gguf::names::HEAD_NORMS, fixed: &[("tied", Bool(false))], ..Gguf::new("stablelm") }),
};
