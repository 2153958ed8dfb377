//! GPT-J (Wang and Komatsuzaki 2021): attention and MLP in parallel under one norm, and rotary positions in interleaved pairs for a
//! part of a head.
//!
//! Reference: `modeling_gptj.py` of transformers.

use super::{
    Family,
    keys::{Absent::*, Constant::*, Key::*},
    names::{linear, same},
    rope::RotaryDim,
};

pub(super) const FAMILY: Family = Family {
    name: "gptj",
    aliases: &[],
    architectures: &["GPTJForCausalLM", "GPTJModel"],
    prefix: "transformer.",
    ignored_suffixes: &[".attn.bias", ".attn.masked_bias"],
    keys: &[
        Size("vocab_size", "vocab", Is(50_400)),
        Size("n_embd", "hidden", Is(4096)),
        Layers("n_layer", "layers", 28),
        Size("n_head", "heads", Is(16)),
        Integer("n_inner", "intermediate", Times(4, "hidden")),
        Activation("activation_function", "activation", "gelu_new"),
        Float("layer_norm_epsilon", "eps", 1e-5),
        Flag("tie_word_embeddings", "tied", false),
        Converted(&RotaryDim),
        NoDropout("resid_pdrop"),
        NoDropout("embd_pdrop"),
        NoDropout("attn_pdrop"),
        // The longest text; the others belong to heads that are not supported, or are not read.
        Ignored(&["n_positions", "n_ctx", "rotary", "scale_attn_weights", "summary_type", "summary_use_proj"]),
        Ignored(&["summary_activation", "summary_proj_to_labels", "summary_first_dropout"]),
        Only("is_causal", Bool(true)),
        Written("use_cache", Bool(true)),
    ],
    template: r#"{
        "vocab": "$vocab", "hidden": "$hidden",
        "position": { "rotary": { "interleaved": true, "partial_factor": "$partial_factor" } },
        "blocks": { "$each": "$layers", "block": { "sublayers": [
            { "junction": { "pre": { "norm": { "layer": { "eps": "$eps" } } } }, "parts": [
                { "attention": { "projection": { "heads": { "heads": "$heads" } } } },
                { "mlp": { "intermediate": "$intermediate", "activation": "$activation", "bias": true } }] }
        ] } },
        "norm": { "layer": { "eps": "$eps" } },
        "head": { "language": { "tied": "$tied", "bias": true } }
    }"#,
    names: &[&[
        same("embedding", "transformer.wte.weight"),
        linear("blocks.{i}.attention.q", "transformer.h.{i}.attn.q_proj"),
        linear("blocks.{i}.attention.k", "transformer.h.{i}.attn.k_proj"),
        linear("blocks.{i}.attention.v", "transformer.h.{i}.attn.v_proj"),
        linear("blocks.{i}.attention.o", "transformer.h.{i}.attn.out_proj"),
        linear("blocks.{i}.feed_forward.up", "transformer.h.{i}.mlp.fc_in"),
        linear("blocks.{i}.feed_forward.down", "transformer.h.{i}.mlp.fc_out"),
        same("blocks.{i}.attention_norm", "transformer.h.{i}.ln_1"),
        same("norm", "transformer.ln_f"),
        linear("head", "lm_head"),
        same("embedding", "lm_head.weight").if_tied(),
    ]],
    gguf: None,
};
