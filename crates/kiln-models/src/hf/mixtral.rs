//! Mixtral (2401.04088): Mistral with a mixture of experts in place of the MLP.
//!
//! The router's weights are a softmax over the chosen experts: a softmax over all, renormalized. Files have a tensor for each map
//! of each expert, or two stacked tensors for all (transformers 5). Reference: `modeling_mixtral.py` of transformers.

use super::{
    Family,
    gguf::{self, Gguf},
    keys::{Absent::*, Constant::*, Key::*},
    llama_like,
    names::{fused, linear},
    rope::Rotary,
    windows::SlidingWindow,
};

pub(super) const FAMILY: Family = Family {
    name: "mixtral",
    aliases: &[],
    architectures: &["MixtralForCausalLM", "MixtralModel"],
    prefix: "model.",
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
        Float("rms_norm_eps", "eps", 1e-5),
        Flag("tie_word_embeddings", "tied", false),
        Converted(&Rotary { theta: 1e6, ..Rotary::scaled(131_072) }),
        Converted(&SlidingWindow { absent: None }),
        Size("num_local_experts", "experts", Is(8)),
        Size("num_experts_per_tok", "top_k", Is(2)),
        Float("router_aux_loss_coef", "aux_loss", 0.001),
        // Noise in training only; the other adds outputs.
        Ignored(&["router_jitter_noise", "output_router_logits"]),
        NoDropout("attention_dropout"),
        Only("is_causal", Bool(true)),
        Written("use_cache", Bool(true)),
    ],
    template: r#"{
        "vocab": "$vocab", "hidden": "$hidden", "position": "$position",
        "blocks": { "$each": "$layers", "block": { "sublayers": [
            { "junction": { "pre": { "norm": { "rms": { "eps": "$eps" } } } },
              "parts": [{ "attention": { "pattern": "$pattern[]", "projection": { "heads": {
                  "heads": "$heads", "kv_heads": "$kv_heads", "head_dim": "$head_dim" } } } }] },
            { "junction": { "pre": { "norm": { "rms": { "eps": "$eps" } } } },
              "parts": [{ "experts": { "num_experts": "$experts", "top_k": "$top_k", "norm_topk_prob": true,
                  "router_aux_loss_coef": "$aux_loss", "router_z_loss_coef": 0.0,
                  "expert": { "gated_mlp": { "intermediate": "$intermediate", "activation": "$activation" } } } }] }
        ] } },
        "norm": { "rms": { "eps": "$eps" } },
        "head": { "language": { "tied": "$tied" } }
    }"#,
    names: &[
        llama_like::OUTER_NAMES,
        llama_like::ATTENTION_NAMES,
        llama_like::NORM_NAMES,
        &[
            linear("blocks.{i}.feed_forward.router", "model.layers.{i}.block_sparse_moe.gate"),
            linear("blocks.{i}.feed_forward.experts.gate", "model.layers.{i}.block_sparse_moe.experts.{e}.w1"),
            linear("blocks.{i}.feed_forward.experts.up", "model.layers.{i}.block_sparse_moe.experts.{e}.w3"),
            linear("blocks.{i}.feed_forward.experts.down", "model.layers.{i}.block_sparse_moe.experts.{e}.w2"),
            // Stacked, as the reference's modules hold them.
            linear("blocks.{i}.feed_forward.router", "model.layers.{i}.mlp.gate"),
            fused(
                &["blocks.{i}.feed_forward.experts.gate", "blocks.{i}.feed_forward.experts.up"],
                "model.layers.{i}.mlp.experts.gate_up_proj",
            )
            .with_ends(&[(".weight", "")]),
            linear("blocks.{i}.feed_forward.experts.down", "model.layers.{i}.mlp.experts.down_proj")
                .with_ends(&[(".weight", "")]),
        ],
    ],
    gguf: Some(Gguf { names: gguf::names::INTERLEAVED, ..Gguf::new("llama") }),
};
