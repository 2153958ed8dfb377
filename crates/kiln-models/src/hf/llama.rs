//! Llama (2302.13971), Llama 2 (2307.09288), Llama 3 (2407.21783): decoder with RMSNorm, rotary positions, grouped-query
//! attention and a gated MLP.
//!
//! Options: `attention_bias` (all four projections) and `mlp_bias`. Reference: `modeling_llama.py` of transformers.

use super::{
    Family,
    gguf::{self, Gguf},
    keys::{Absent::*, Constant::*, Key::*},
    llama_like,
    rope::Rotary,
    windows::NoWindow,
};

pub(super) const FAMILY: Family = Family {
    name: "llama",
    aliases: &[],
    architectures: &["LlamaForCausalLM", "LlamaModel"],
    prefix: "model.",
    // Rotary frequencies, which older files contain; Kiln computes them.
    ignored_suffixes: &["rotary_emb.inv_freq"],
    keys: &[
        Size("vocab_size", "vocab", Is(32_000)),
        Size("hidden_size", "hidden", Is(4096)),
        Size("intermediate_size", "intermediate", Is(11_008)),
        Layers("num_hidden_layers", "layers", 32),
        Size("num_attention_heads", "heads", Is(32)),
        Integer("num_key_value_heads", "kv_heads", Null),
        Integer("head_dim", "head_dim", Null),
        Activation("hidden_act", "activation", "silu"),
        Float("rms_norm_eps", "eps", 1e-6),
        Flag("tie_word_embeddings", "tied", false),
        Converted(&Rotary::scaled(2048)),
        Flag("attention_bias", "qkv_bias", false),
        Fixed("out_bias", Nothing),
        Flag("mlp_bias", "mlp_bias", false),
        Converted(&NoWindow),
        NoDropout("attention_dropout"),
        Only("is_causal", Bool(true)),
        Ignored(&["pretraining_tp"]),
        Written("use_cache", Bool(true)),
    ],
    template: llama_like::TEMPLATE,
    names: &[llama_like::OUTER_NAMES, llama_like::ATTENTION_NAMES, llama_like::GATED_MLP_NAMES, llama_like::NORM_NAMES],
    gguf: Some(Gguf { names: gguf::names::INTERLEAVED, frequency_factors: true, ..Gguf::new("llama") }),
};
