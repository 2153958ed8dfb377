//! Phi-3 (2404.14219): the form of Llama with fused matrices in the file.
//!
//! `qkv_proj` has the rows of q, then k, then v; `gate_up_proj` those of the gate, then of the up-projection. Reference:
//! `modeling_phi3.py` of transformers.

use super::{
    Family,
    gguf::{self, Gguf},
    keys::{Absent::*, Constant::*, Key::*},
    llama_like,
    names::{fused, linear, same},
    rope::{Rotary, RotaryClass},
    windows::SlidingWindow,
};

pub(super) const FAMILY: Family = Family {
    name: "phi3",
    aliases: &[],
    architectures: &["Phi3ForCausalLM", "Phi3Model"],
    prefix: "model.",
    // Rotary frequencies, which older files contain; Kiln computes them.
    ignored_suffixes: &["rotary_emb.inv_freq"],
    keys: &[
        Size("vocab_size", "vocab", Is(32_064)),
        Size("hidden_size", "hidden", Is(3072)),
        Size("intermediate_size", "intermediate", Is(8192)),
        Layers("num_hidden_layers", "layers", 32),
        Size("num_attention_heads", "heads", Is(32)),
        Integer("num_key_value_heads", "kv_heads", Null),
        Integer("head_dim", "head_dim", Null),
        Activation("hidden_act", "activation", "silu"),
        Float("rms_norm_eps", "eps", 1e-5),
        Flag("tie_word_embeddings", "tied", false),
        Converted(&Rotary { class: RotaryClass::LongRope, original_length: Some(4096), ..Rotary::partial(4096, 1.0) }),
        Fixed("qkv_bias", Bool(false)),
        Fixed("out_bias", Nothing),
        Fixed("mlp_bias", Bool(false)),
        Converted(&SlidingWindow { absent: None }),
        NoDropout("resid_pdrop"),
        NoDropout("embd_pdrop"),
        NoDropout("attention_dropout"),
        Only("is_causal", Bool(true)),
        Ignored(&["pretraining_tp"]),
        Written("use_cache", Bool(true)),
    ],
    template: llama_like::TEMPLATE,
    names: &[&[
        same("embedding", "model.embed_tokens.weight"),
        fused(
            &["blocks.{i}.attention.q", "blocks.{i}.attention.k", "blocks.{i}.attention.v"],
            "model.layers.{i}.self_attn.qkv_proj",
        ),
        linear("blocks.{i}.attention.o", "model.layers.{i}.self_attn.o_proj"),
        fused(&["blocks.{i}.feed_forward.gate", "blocks.{i}.feed_forward.up"], "model.layers.{i}.mlp.gate_up_proj"),
        linear("blocks.{i}.feed_forward.down", "model.layers.{i}.mlp.down_proj"),
        same("blocks.{i}.attention_norm", "model.layers.{i}.input_layernorm"),
        same("blocks.{i}.feed_forward_norm", "model.layers.{i}.post_attention_layernorm"),
        same("norm", "model.norm"),
        linear("head", "lm_head"),
        same("embedding", "lm_head.weight").if_tied(),
    ]],
    gguf: Some(Gguf { names: gguf::names::FUSED_GATE, windows: true, longrope_factors: true, ..Gguf::new("phi3") }),
};
