//! Mistral (2310.06825): the form of Llama with a sliding window in all layers.
//!
//! `sliding_window` counts the token itself; `null` is full attention, an absent key 4096. Reference:
//! `modeling_mistral.py` of transformers.

use super::{
    Family,
    gguf::{self, Gguf},
    keys::{Absent::*, Constant::*, Key::*},
    llama_like,
    rope::Rotary,
    windows::SlidingWindow,
};

pub(super) const FAMILY: Family = Family {
    name: "mistral",
    aliases: &[],
    architectures: &["MistralForCausalLM", "MistralModel"],
    prefix: "model.",
    // Rotary frequencies, which older files contain; Kiln computes them.
    ignored_suffixes: &["rotary_emb.inv_freq"],
    keys: &[
        Size("vocab_size", "vocab", Is(32_000)),
        Size("hidden_size", "hidden", Is(4096)),
        Size("intermediate_size", "intermediate", Is(14_336)),
        Layers("num_hidden_layers", "layers", 32),
        Size("num_attention_heads", "heads", Is(32)),
        Integer("num_key_value_heads", "kv_heads", Is(8)),
        Integer("head_dim", "head_dim", Null),
        Activation("hidden_act", "activation", "silu"),
        Float("rms_norm_eps", "eps", 1e-6),
        Flag("tie_word_embeddings", "tied", false),
        Converted(&Rotary::scaled(131_072)),
        Fixed("qkv_bias", Bool(false)),
        Fixed("out_bias", Nothing),
        Fixed("mlp_bias", Bool(false)),
        Converted(&SlidingWindow { absent: Some(4096) }),
        NoDropout("attention_dropout"),
        Only("is_causal", Bool(true)),
        Ignored(&["pretraining_tp"]),
        Written("use_cache", Bool(true)),
    ],
    template: llama_like::TEMPLATE,
    names: &[llama_like::OUTER_NAMES, llama_like::ATTENTION_NAMES, llama_like::GATED_MLP_NAMES, llama_like::NORM_NAMES],
    gguf: Some(Gguf { names: gguf::names::INTERLEAVED, ..Gguf::new("llama") }),
};
