//! Gemma 2 (2408.00118): Gemma with norms before and after each part, softcaps of scores and logits, and a sliding window in
//! every other layer.
//!
//! Reference: `modeling_gemma2.py` of transformers.

use super::{
    Family,
    gguf::{self, Gguf},
    keys::{Absent::*, Constant::*, Key::*},
    llama_like,
    names::same,
    rope::Rotary,
    scales::{EmbeddingScale, ScoreScale},
    windows::AlternatingWindows,
};

pub(super) const FAMILY: Family = Family {
    name: "gemma2",
    aliases: &[],
    architectures: &["Gemma2ForCausalLM", "Gemma2Model"],
    prefix: "model.",
    ignored_suffixes: &["rotary_emb.inv_freq"],
    keys: &[
        Size("vocab_size", "vocab", Is(256_000)),
        Size("hidden_size", "hidden", Is(2304)),
        Size("intermediate_size", "intermediate", Is(9216)),
        Layers("num_hidden_layers", "layers", 26),
        Size("num_attention_heads", "heads", Is(8)),
        Integer("num_key_value_heads", "kv_heads", Is(4)),
        Integer("head_dim", "head_dim", Is(256)),
        Activation("hidden_activation", "activation", "gelu_pytorch_tanh"),
        Float("rms_norm_eps", "eps", 1e-6),
        Flag("tie_word_embeddings", "tied", true),
        Converted(&Rotary::scaled(8192)),
        Flag("attention_bias", "bias", false),
        Converted(&EmbeddingScale),
        Converted(&ScoreScale { key: "query_pre_attn_scalar", absent: 256.0, power: -0.5 }),
        OptionalFloat("attn_logit_softcapping", "score_softcap", Some(50.0)),
        OptionalFloat("final_logit_softcapping", "logit_softcap", Some(30.0)),
        Converted(&AlternatingWindows { absent: 4096 }),
        Only("use_bidirectional_attention", Bool(false)),
        // The older name of the activation, which the reference does not read.
        Ignored(&["hidden_act", "cache_implementation"]),
        NoDropout("attention_dropout"),
        Only("is_causal", Bool(true)),
        Written("use_cache", Bool(true)),
    ],
    template: r#"{
        "vocab": "$vocab", "hidden": "$hidden", "embedding": { "scale": "$embedding_scale" }, "position": "$position",
        "blocks": { "$each": "$layers", "block": { "sublayers": [
            { "junction": { "sandwich": { "norm": { "rms": { "eps": "$eps", "unit_offset": true } } } },
              "parts": [{ "attention": { "pattern": "$pattern[]", "score": { "softmax": { "softcap": "$score_softcap" } },
                  "projection": { "heads": { "heads": "$heads", "kv_heads": "$kv_heads", "head_dim": "$head_dim", "bias": "$bias", "scale": "$score_scale" } } } }] },
            { "junction": { "sandwich": { "norm": { "rms": { "eps": "$eps", "unit_offset": true } } } },
              "parts": [{ "gated_mlp": { "intermediate": "$intermediate", "activation": "$activation" } }] }
        ] } },
        "norm": { "rms": { "eps": "$eps", "unit_offset": true } },
        "head": { "language": { "tied": "$tied", "softcap": "$logit_softcap" } }
    }"#,
    names: &[
        llama_like::OUTER_NAMES,
        llama_like::ATTENTION_NAMES,
        llama_like::GATED_MLP_NAMES,
        &[
            same("blocks.{i}.attention_norm.before", "model.layers.{i}.input_layernorm"),
            same("blocks.{i}.attention_norm.after", "model.layers.{i}.post_attention_layernorm"),
            same("blocks.{i}.feed_forward_norm.before", "model.layers.{i}.pre_feedforward_layernorm"),
            same("blocks.{i}.feed_forward_norm.after", "model.layers.{i}.post_feedforward_layernorm"),
        ],
    ],
    gguf: Some(Gguf {
        names: gguf::names::UNIT_OFFSET,
        fixed: &[("bias", Bool(false)), ("tied", Bool(true))],
        windows: true,
        ..Gguf::new("gemma2")
    }),
};
