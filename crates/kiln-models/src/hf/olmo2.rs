//! OLMo 2 (2501.00656): norms after each part within the residual connection, and RMSNorm over all queries and over all keys.
//!
//! Reference: `modeling_olmo2.py` of transformers.

use super::{
    Family,
    gguf::{self, Gguf},
    keys::{Absent::*, Constant::*, Key::*},
    llama_like,
    names::same,
    rope::Rotary,
};

pub(super) const FAMILY: Family = Family {
    name: "olmo2",
    aliases: &[],
    architectures: &["Olmo2ForCausalLM", "Olmo2Model"],
    prefix: "model.",
    ignored_suffixes: &["rotary_emb.inv_freq"],
    keys: &[
        Size("vocab_size", "vocab", Is(50_304)),
        Size("hidden_size", "hidden", Is(4096)),
        Size("intermediate_size", "intermediate", Is(11_008)),
        Layers("num_hidden_layers", "layers", 32),
        Size("num_attention_heads", "heads", Is(32)),
        Integer("num_key_value_heads", "kv_heads", Null),
        Fixed("head_dim", Nothing),
        Activation("hidden_act", "activation", "silu"),
        Float("rms_norm_eps", "eps", 1e-5),
        Flag("tie_word_embeddings", "tied", false),
        Converted(&Rotary::scaled(2048)),
        Flag("attention_bias", "bias", false),
        NoDropout("attention_dropout"),
        Only("is_causal", Bool(true)),
        Written("use_cache", Bool(true)),
    ],
    template: r#"{
        "vocab": "$vocab", "hidden": "$hidden", "position": "$position",
        "blocks": { "$each": "$layers", "block": { "sublayers": [
            { "junction": { "res_post": { "norm": { "rms": { "eps": "$eps" } } } },
              "parts": [{ "attention": { "projection": { "heads": {
                  "heads": "$heads", "kv_heads": "$kv_heads", "bias": "$bias",
                  "qk_norm": { "norm": { "rms": { "eps": "$eps" } }, "scope": "all_heads" } } } } }] },
            { "junction": { "res_post": { "norm": { "rms": { "eps": "$eps" } } } },
              "parts": [{ "gated_mlp": { "intermediate": "$intermediate", "activation": "$activation" } }] }
        ] } },
        "norm": { "rms": { "eps": "$eps" } },
        "head": { "language": { "tied": "$tied" } }
    }"#,
    names: &[
        llama_like::OUTER_NAMES,
        llama_like::ATTENTION_NAMES,
        llama_like::QK_NORM_NAMES,
        llama_like::GATED_MLP_NAMES,
        &[
            same("blocks.{i}.attention_norm", "model.layers.{i}.post_attention_layernorm"),
            same("blocks.{i}.feed_forward_norm", "model.layers.{i}.post_feedforward_layernorm"),
        ],
    ],
    gguf: Some(Gguf {
        names: gguf::names::NORMS_AFTER_PARTS,
        fixed: &[("bias", Bool(false)), ("tied", Bool(false))],
        ..Gguf::new("olmo2")
    }),
};
