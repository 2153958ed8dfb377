//! Phi-1, Phi-1.5 (2309.05463) and Phi-2: attention and MLP in parallel under one norm, biases, rotary positions for a part of a
//! head.
//!
//! Reference: `modeling_phi.py` of transformers.

use super::{
    Family,
    gguf::Gguf,
    keys::{Absent::*, Constant::*, Key::*},
    names::{linear, same},
    rope::Rotary,
};

pub(super) const FAMILY: Family = Family {
    name: "phi",
    aliases: &[],
    architectures: &["PhiForCausalLM", "PhiModel"],
    prefix: "model.",
    ignored_suffixes: &["rotary_emb.inv_freq"],
    keys: &[
        Size("vocab_size", "vocab", Is(51_200)),
        Size("hidden_size", "hidden", Is(2048)),
        Size("intermediate_size", "intermediate", Is(8192)),
        Layers("num_hidden_layers", "layers", 24),
        Size("num_attention_heads", "heads", Is(32)),
        Integer("num_key_value_heads", "kv_heads", Null),
        Fixed("head_dim", Nothing),
        Activation("hidden_act", "activation", "gelu_new"),
        Float("layer_norm_eps", "eps", 1e-5),
        Flag("tie_word_embeddings", "tied", false),
        Converted(&Rotary::partial(2048, 0.5)),
        Only("qk_layernorm", Bool(false)),
        NoDropout("resid_pdrop"),
        NoDropout("embd_pdrop"),
        NoDropout("attention_dropout"),
        Only("is_causal", Bool(true)),
        Written("use_cache", Bool(true)),
    ],
    template: r#"{
        "vocab": "$vocab", "hidden": "$hidden", "position": "$position",
        "blocks": { "$each": "$layers", "block": { "sublayers": [
            { "junction": { "pre": { "norm": { "layer": { "eps": "$eps" } } } }, "parts": [
                { "attention": { "projection": { "heads": { "heads": "$heads", "kv_heads": "$kv_heads", "bias": true } } } },
                { "mlp": { "intermediate": "$intermediate", "activation": "$activation", "bias": true } }] }
        ] } },
        "norm": { "layer": { "eps": "$eps" } },
        "head": { "language": { "tied": "$tied", "bias": true } }
    }"#,
    names: &[&[
        same("embedding", "model.embed_tokens.weight"),
        linear("blocks.{i}.attention.q", "model.layers.{i}.self_attn.q_proj"),
        linear("blocks.{i}.attention.k", "model.layers.{i}.self_attn.k_proj"),
        linear("blocks.{i}.attention.v", "model.layers.{i}.self_attn.v_proj"),
        linear("blocks.{i}.attention.o", "model.layers.{i}.self_attn.dense"),
        linear("blocks.{i}.feed_forward.up", "model.layers.{i}.mlp.fc1"),
        linear("blocks.{i}.feed_forward.down", "model.layers.{i}.mlp.fc2"),
        same("blocks.{i}.attention_norm", "model.layers.{i}.input_layernorm"),
        same("norm", "model.final_layernorm"),
        linear("head", "lm_head"),
        same("embedding", "lm_head.weight").if_tied(),
    ]],
    gguf: Some(Gguf { fixed: &[("tied", Bool(false))], ..Gguf::new("phi2") }),
};
