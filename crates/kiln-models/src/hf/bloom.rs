//! BLOOM (2211.05100): ALiBi, a norm after the embedding, and q, k and v head by head in one tensor.
//!
//! Reference: `modeling_bloom.py` of transformers.

use super::{
    Family,
    gguf::{self, Gguf},
    keys::{Absent::*, Constant::*, Key::*},
    names::{fused, linear, same},
    scales::FourTimesHidden,
};

pub(super) const FAMILY: Family = Family {
    name: "bloom",
    aliases: &[],
    architectures: &["BloomForCausalLM", "BloomModel"],
    prefix: "transformer.",
    ignored_suffixes: &[],
    keys: &[
        Size("vocab_size", "vocab", Is(250_880)),
        Size("hidden_size", "hidden", Is(64)),
        Layers("n_layer", "layers", 2),
        Size("n_head", "heads", Is(8)),
        Float("layer_norm_epsilon", "eps", 1e-5),
        Flag("tie_word_embeddings", "tied", true),
        Only("apply_residual_connection_post_layernorm", Bool(false)),
        Converted(&FourTimesHidden),
        NoDropout("attention_dropout"),
        NoDropout("hidden_dropout"),
        // How training was distributed.
        Ignored(&[
            "pretraining_tp",
            "slow_but_exact",
            "skip_bias_add",
            "skip_bias_add_qkv",
            "offset_alibi",
            "seq_length",
        ]),
        Only("is_causal", Bool(true)),
        Written("use_cache", Bool(true)),
    ],
    template: r#"{
        "vocab": "$vocab", "hidden": "$hidden", "embedding": { "norm": { "layer": { "eps": "$eps" } } }, "position": { "alibi": {} },
        "blocks": { "$each": "$layers", "block": { "sublayers": [
            { "junction": { "pre": { "norm": { "layer": { "eps": "$eps" } } } },
              "parts": [{ "attention": { "projection": { "heads": { "heads": "$heads", "bias": true } } } }] },
            { "junction": { "pre": { "norm": { "layer": { "eps": "$eps" } } } },
              "parts": [{ "mlp": { "intermediate": "$intermediate", "activation": "gelu_tanh", "bias": true } }] }
        ] } },
        "norm": { "layer": { "eps": "$eps" } },
        "head": { "language": { "tied": "$tied" } }
    }"#,
    names: &[&[
        same("embedding", "transformer.word_embeddings.weight"),
        same("embedded.norm", "transformer.word_embeddings_layernorm"),
        fused(
            &["blocks.{i}.attention.q", "blocks.{i}.attention.k", "blocks.{i}.attention.v"],
            "transformer.h.{i}.self_attention.query_key_value",
        )
        .by_head(),
        linear("blocks.{i}.attention.o", "transformer.h.{i}.self_attention.dense"),
        linear("blocks.{i}.feed_forward.up", "transformer.h.{i}.mlp.dense_h_to_4h"),
        linear("blocks.{i}.feed_forward.down", "transformer.h.{i}.mlp.dense_4h_to_h"),
        same("blocks.{i}.attention_norm", "transformer.h.{i}.input_layernorm"),
        same("blocks.{i}.feed_forward_norm", "transformer.h.{i}.post_attention_layernorm"),
        same("norm", "transformer.ln_f"),
        linear("head", "lm_head"),
        same("embedding", "lm_head.weight").if_tied(),
    ]],
    gguf: Some(Gguf { names: gguf::names::FUSED, ..Gguf::new("bloom") }),
};
