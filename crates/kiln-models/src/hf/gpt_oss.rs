//! gpt-oss (2508.10925): experts with a clamped SwiGLU and biases, attention sinks, and a sliding window in every other layer.
//!
//! The outputs of gate and up projection alternate in one stacked tensor for all experts, or in one for each expert. Published
//! files have it quantized (`quantized/mxfp4.rs`), which leaves it `[out, in]`. Reference: `modeling_gpt_oss.py` of transformers.

use super::{
    Family,
    gguf::{self, Gguf},
    keys::{Absent::*, Constant::*, Key::*},
    llama_like,
    names::{Name, fused, linear, same},
    rope::Rotary,
    windows::AlternatingWindows,
};

/// Rotary positions of files without a table.
const YARN: &str = r#"{ "rope_type": "yarn", "factor": 32.0, "beta_fast": 32.0, "beta_slow": 1.0, "truncate": false,
    "original_max_position_embeddings": 4096 }"#;

/// The biases of all experts are stacked beside the matrices.
const ENDS: &[(&str, &str)] = &[(".weight", ""), (".bias", "_bias")];

/// The outputs of gate and up projection in turn.
const fn gate_up(tensor: &'static str) -> Name {
    fused(&["blocks.{i}.feed_forward.experts.gate", "blocks.{i}.feed_forward.experts.up"], tensor).alternating()
}

pub(super) const FAMILY: Family = Family {
    name: "gpt_oss",
    aliases: &[],
    architectures: &["GptOssForCausalLM", "GptOssModel"],
    prefix: "model.",
    ignored_suffixes: &["rotary_emb.inv_freq"],
    keys: &[
        Size("vocab_size", "vocab", Is(201_088)),
        Size("hidden_size", "hidden", Is(2880)),
        Size("intermediate_size", "expert_intermediate", Is(2880)),
        Layers("num_hidden_layers", "layers", 36),
        Size("num_attention_heads", "heads", Is(64)),
        Integer("num_key_value_heads", "kv_heads", Is(8)),
        Integer("head_dim", "head_dim", Is(64)),
        // The experts have one function whatever this key says.
        Only("hidden_act", Text("silu")),
        Float("swiglu_alpha", "alpha", 1.702),
        Float("swiglu_limit", "limit", 7.0),
        Float("rms_norm_eps", "eps", 1e-5),
        Flag("tie_word_embeddings", "tied", false),
        Converted(&Rotary { theta: 150_000.0, table: YARN, ..Rotary::scaled(131_072) }),
        Flag("attention_bias", "bias", true),
        Converted(&AlternatingWindows { absent: 128 }),
        Size("num_local_experts", "experts", Is(128)),
        Size("num_experts_per_tok", "top_k", Is(4)),
        Float("router_aux_loss_coef", "aux_loss", 0.001),
        // Of published files, and an option that adds outputs.
        Ignored(&["experts_per_token", "initial_context_length", "output_router_logits"]),
        NoDropout("attention_dropout"),
        Only("is_causal", Bool(true)),
        Written("use_cache", Bool(true)),
    ],
    template: r#"{
        "vocab": "$vocab", "hidden": "$hidden", "position": "$position",
        "blocks": { "$each": "$layers", "block": { "sublayers": [
            { "junction": { "pre": { "norm": { "rms": { "eps": "$eps" } } } },
              "parts": [{ "attention": { "pattern": "$pattern[]", "score": { "softmax": { "sink": true } },
                  "projection": { "heads": { "heads": "$heads", "kv_heads": "$kv_heads", "head_dim": "$head_dim", "bias": "$bias" } } } }] },
            { "junction": { "pre": { "norm": { "rms": { "eps": "$eps" } } } },
              "parts": [{ "experts": { "num_experts": "$experts", "top_k": "$top_k", "norm_topk_prob": true, "router_bias": true,
                  "router_aux_loss_coef": "$aux_loss", "router_z_loss_coef": 0.0,
                  "expert": { "gated_mlp": { "intermediate": "$expert_intermediate", "bias": true,
                      "activation": { "clamped_swiglu": { "alpha": "$alpha", "limit": "$limit" } } } } } }] }
        ] } },
        "norm": { "rms": { "eps": "$eps" } },
        "head": { "language": { "tied": "$tied" } }
    }"#,
    names: &[
        llama_like::OUTER_NAMES,
        llama_like::ATTENTION_NAMES,
        llama_like::NORM_NAMES,
        &[
            same("blocks.{i}.attention.sink", "model.layers.{i}.self_attn.sinks"),
            linear("blocks.{i}.feed_forward.router", "model.layers.{i}.mlp.router"),
            gate_up("model.layers.{i}.mlp.experts.gate_up_proj").not_transposed().with_ends(ENDS),
            same("blocks.{i}.feed_forward.experts.down", "model.layers.{i}.mlp.experts.down_proj").with_ends(ENDS),
            gate_up("model.layers.{i}.mlp.experts.gate_up_proj").with_ends(&[(".weight", "_blocks")]),
            linear("blocks.{i}.feed_forward.experts.down", "model.layers.{i}.mlp.experts.down_proj")
                .with_ends(&[(".weight", "_blocks")]),
            linear("blocks.{i}.feed_forward.router", "model.layers.{i}.mlp.router.linear"),
            gate_up("model.layers.{i}.mlp.experts.gate_up_projs.{e}"),
            linear("blocks.{i}.feed_forward.experts.down", "model.layers.{i}.mlp.experts.down_projs.{e}"),
        ],
    ],
    gguf: Some(Gguf {
        names: gguf::names::NORM_BETWEEN,
        fixed: &[("bias", Bool(true)), ("tied", Bool(false)), ("alpha", Real(1.702)), ("limit", Real(7.0))],
        windows: true,
        ..Gguf::new("gpt-oss")
    }),
};
