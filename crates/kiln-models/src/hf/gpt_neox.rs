//! GPT-NeoX (2204.06745) and Pythia (2304.01373): attention and MLP in parallel with a norm each, and rotary positions for a part of
//! a head.
//!
//! `query_key_value` has q, k and v head by head. With `use_parallel_residual` false the parts follow each other. Reference:
//! `modeling_gpt_neox.py` of transformers.

use super::{
    Family,
    gguf::{self, Gguf},
    keys::{Absent::*, Constant::*, Key::*},
    names::{fused, linear, same},
    rope::Rotary,
};

pub(super) const FAMILY: Family = Family {
    name: "gpt_neox",
    aliases: &[],
    architectures: &["GPTNeoXForCausalLM", "GPTNeoXModel"],
    prefix: "gpt_neox.",
    ignored_suffixes: &["rotary_emb.inv_freq", "attention.bias", "attention.masked_bias"],
    keys: &[
        Size("vocab_size", "vocab", Is(50_432)),
        Size("hidden_size", "hidden", Is(6144)),
        Size("intermediate_size", "intermediate", Is(24_576)),
        Layers("num_hidden_layers", "layers", 44),
        Size("num_attention_heads", "heads", Is(64)),
        Activation("hidden_act", "activation", "gelu"),
        Float("layer_norm_eps", "eps", 1e-5),
        Flag("tie_word_embeddings", "tied", false),
        Converted(&Rotary { theta_key: "rotary_emb_base", factor_key: "rotary_pct", ..Rotary::partial(2048, 0.25) }),
        Flag("use_parallel_residual", "parallel", true),
        Flag("attention_bias", "bias", true),
        NoDropout("attention_dropout"),
        NoDropout("hidden_dropout"),
        Ignored(&["classifier_dropout"]),
        Only("is_causal", Bool(true)),
        Written("use_cache", Bool(true)),
    ],
    template: r#"{
        "vocab": "$vocab", "hidden": "$hidden", "position": "$position",
        "blocks": { "$each": "$layers", "block": { "sublayers": { "$case": "$parallel",
            "true": [{ "junction": { "pre": { "norm": "none" } }, "part_norm": { "layer": { "eps": "$eps" } }, "parts": [
                { "attention": { "projection": { "heads": { "heads": "$heads", "bias": "$bias" } } } },
                { "mlp": { "intermediate": "$intermediate", "activation": "$activation", "bias": true } }] }],
            "false": [
                { "junction": { "pre": { "norm": { "layer": { "eps": "$eps" } } } },
                  "parts": [{ "attention": { "projection": { "heads": { "heads": "$heads", "bias": "$bias" } } } }] },
                { "junction": { "pre": { "norm": { "layer": { "eps": "$eps" } } } },
                  "parts": [{ "mlp": { "intermediate": "$intermediate", "activation": "$activation", "bias": true } }] }] } } },
        "norm": { "layer": { "eps": "$eps" } },
        "head": { "language": { "tied": "$tied" } }
    }"#,
    names: &[&[
        same("embedding", "gpt_neox.embed_in.weight"),
        fused(
            &["blocks.{i}.attention.q", "blocks.{i}.attention.k", "blocks.{i}.attention.v"],
            "gpt_neox.layers.{i}.attention.query_key_value",
        )
        .by_head(),
        linear("blocks.{i}.attention.o", "gpt_neox.layers.{i}.attention.dense"),
        linear("blocks.{i}.feed_forward.up", "gpt_neox.layers.{i}.mlp.dense_h_to_4h"),
        linear("blocks.{i}.feed_forward.down", "gpt_neox.layers.{i}.mlp.dense_4h_to_h"),
        same("blocks.{i}.attention_norm", "gpt_neox.layers.{i}.input_layernorm"),
        same("blocks.{i}.feed_forward_norm", "gpt_neox.layers.{i}.post_attention_layernorm"),
        same("norm", "gpt_neox.final_layer_norm"),
        linear("head", "embed_out"),
        linear("head", "lm_head"),
        same("embedding", "embed_out.weight").if_tied(),
        same("embedding", "lm_head.weight").if_tied(),
    ]],
    gguf: Some(Gguf {
        names: gguf::names::FUSED,
        fixed: &[("bias", Bool(true)), ("tied", Bool(false))],
        ..Gguf::new("gptneox")
    }),
};
