//! Qwen2 (2407.10671) and Qwen2.5: the form of Llama with biases of q, k and v, and sliding windows in some layers.
//!
//! Windows act only with `use_sliding_window`. `layer_types` lists the kind of each layer; older files have
//! `max_window_layers` instead, the number of layers with full attention before the others. Reference:
//! `modeling_qwen2.py` of transformers.

use super::{
    Family,
    gguf::Gguf,
    keys::{Absent::*, Constant::*, Key::*},
    llama_like,
    rope::Rotary,
    windows::LayerTypes,
};

pub(super) const FAMILY: Family = Family {
    name: "qwen2",
    aliases: &[],
    architectures: &["Qwen2ForCausalLM", "Qwen2Model"],
    prefix: "model.",
    // Rotary frequencies, which older files contain; Kiln computes them.
    ignored_suffixes: &["rotary_emb.inv_freq"],
    keys: &[
        Size("vocab_size", "vocab", Is(151_936)),
        Size("hidden_size", "hidden", Is(4096)),
        Size("intermediate_size", "intermediate", Is(22_016)),
        Layers("num_hidden_layers", "layers", 32),
        Size("num_attention_heads", "heads", Is(32)),
        Integer("num_key_value_heads", "kv_heads", Is(32)),
        Integer("head_dim", "head_dim", Null),
        Activation("hidden_act", "activation", "silu"),
        Float("rms_norm_eps", "eps", 1e-6),
        Flag("tie_word_embeddings", "tied", false),
        Converted(&Rotary::scaled(32_768)),
        Fixed("qkv_bias", Bool(true)),
        Fixed("out_bias", Bool(false)),
        Fixed("mlp_bias", Bool(false)),
        Converted(&LayerTypes::AFTER_FULL),
        NoDropout("attention_dropout"),
        Only("is_causal", Bool(true)),
        Ignored(&["pretraining_tp"]),
        Written("use_cache", Bool(true)),
    ],
    template: llama_like::TEMPLATE,
    names: &[llama_like::OUTER_NAMES, llama_like::ATTENTION_NAMES, llama_like::GATED_MLP_NAMES, llama_like::NORM_NAMES],
    gguf: Some(Gguf::new("qwen2")),
};
