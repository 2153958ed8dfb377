//! StarCoder2 (2402.19173): LayerNorm, biases, an ungated MLP, rotary positions and a sliding window.
//!
//! Reference: `modeling_starcoder2.py` of transformers.

use super::{
    Family,
    gguf::Gguf,
    keys::{Absent::*, Constant::*, Key::*},
    llama_like,
    names::linear,
    rope::Rotary,
    windows::SlidingWindow,
};

pub(super) const FAMILY: Family = Family {
    name: "starcoder2",
    aliases: &[],
    architectures: &["Starcoder2ForCausalLM", "Starcoder2Model"],
    prefix: "model.",
    ignored_suffixes: &["rotary_emb.inv_freq"],
    keys: &[
        Size("vocab_size", "vocab", Is(49_152)),
        Size("hidden_size", "hidden", Is(3072)),
        Size("intermediate_size", "intermediate", Is(12_288)),
        Layers("num_hidden_layers", "layers", 30),
        Size("num_attention_heads", "heads", Is(24)),
        Integer("num_key_value_heads", "kv_heads", Is(2)),
        Fixed("head_dim", Nothing),
        Activation("hidden_act", "activation", "gelu_pytorch_tanh"),
        Float("norm_epsilon", "eps", 1e-5),
        Flag("tie_word_embeddings", "tied", true),
        Converted(&Rotary::scaled(4096)),
        Flag("use_bias", "bias", true),
        Converted(&SlidingWindow { absent: None }),
        NoDropout("residual_dropout"),
        NoDropout("embedding_dropout"),
        NoDropout("attention_dropout"),
        Only("is_causal", Bool(true)),
        Written("use_cache", Bool(true)),
    ],
    template: r#"{
        "vocab": "$vocab", "hidden": "$hidden", "position": "$position",
        "blocks": { "$each": "$layers", "block": { "sublayers": [
            { "junction": { "pre": { "norm": { "layer": { "eps": "$eps" } } } },
              "parts": [{ "attention": { "pattern": "$pattern[]", "projection": { "heads": {
                  "heads": "$heads", "kv_heads": "$kv_heads", "bias": "$bias" } } } }] },
            { "junction": { "pre": { "norm": { "layer": { "eps": "$eps" } } } },
              "parts": [{ "mlp": { "intermediate": "$intermediate", "activation": "$activation", "bias": "$bias" } }] }
        ] } },
        "norm": { "layer": { "eps": "$eps" } },
        "head": { "language": { "tied": "$tied" } }
    }"#,
    names: &[
        llama_like::OUTER_NAMES,
        llama_like::ATTENTION_NAMES,
        llama_like::NORM_NAMES,
        &[
            linear("blocks.{i}.feed_forward.up", "model.layers.{i}.mlp.c_fc"),
            linear("blocks.{i}.feed_forward.down", "model.layers.{i}.mlp.c_proj"),
        ],
    ],
    gguf: Some(Gguf { fixed: &[("bias", Bool(true))], ..Gguf::new("starcoder2") }),
};
