//! Qwen3 with mixtures of experts (2505.09388).
//!
//! `mlp_only_layers` and `decoder_sparse_step` say which layers have experts. Reference: `modeling_qwen3_moe.py` of transformers.

use super::{
    Family,
    gguf::Gguf,
    keys::{Absent::*, Constant::*, Key::*},
    llama_like,
    rope::Rotary,
    sparse_layers::SparseLayers,
    windows::SwitchedWindow,
};

pub(super) const FAMILY: Family = Family {
    name: "qwen3_moe",
    aliases: &[],
    architectures: &["Qwen3MoeForCausalLM", "Qwen3MoeModel"],
    prefix: "model.",
    ignored_suffixes: &["rotary_emb.inv_freq"],
    keys: &[
        Size("vocab_size", "vocab", Is(151_936)),
        Size("hidden_size", "hidden", Is(2048)),
        Size("intermediate_size", "intermediate", Is(6144)),
        Layers("num_hidden_layers", "layers", 24),
        Size("num_attention_heads", "heads", Is(32)),
        Integer("num_key_value_heads", "kv_heads", Is(4)),
        Integer("head_dim", "head_dim", Null),
        Activation("hidden_act", "activation", "silu"),
        Float("rms_norm_eps", "eps", 1e-6),
        Flag("tie_word_embeddings", "tied", false),
        Converted(&Rotary::scaled(32_768)),
        Flag("attention_bias", "bias", false),
        Converted(&SwitchedWindow),
        Size("moe_intermediate_size", "expert_intermediate", Is(768)),
        Size("num_local_experts", "experts", Is(128)),
        Size("num_experts_per_tok", "top_k", Is(8)),
        Flag("norm_topk_prob", "norm_topk", false),
        Float("router_aux_loss_coef", "aux_loss", 0.001),
        Converted(&SparseLayers),
        Ignored(&["output_router_logits"]),
        NoDropout("attention_dropout"),
        Only("is_causal", Bool(true)),
        Written("use_cache", Bool(true)),
    ],
    template: r#"{
        "vocab": "$vocab", "hidden": "$hidden", "position": "$position",
        "blocks": { "$each": "$layers", "block": { "sublayers": [
            { "junction": { "pre": { "norm": { "rms": { "eps": "$eps" } } } },
              "parts": [{ "attention": { "pattern": "$pattern[]", "projection": { "heads": {
                  "heads": "$heads", "kv_heads": "$kv_heads", "head_dim": "$head_dim", "bias": "$bias",
                  "qk_norm": { "norm": { "rms": { "eps": "$eps" } }, "scope": "head" } } } } }] },
            { "junction": { "pre": { "norm": { "rms": { "eps": "$eps" } } } },
              "parts": [{ "$case": "$sparse[]",
                  "true": { "experts": { "num_experts": "$experts", "top_k": "$top_k", "norm_topk_prob": "$norm_topk",
                      "router_aux_loss_coef": "$aux_loss", "router_z_loss_coef": 0.0,
                      "expert": { "gated_mlp": { "intermediate": "$expert_intermediate", "activation": "$activation" } } } },
                  "false": { "gated_mlp": { "intermediate": "$intermediate", "activation": "$activation" } } }] }
        ] } },
        "norm": { "rms": { "eps": "$eps" } },
        "head": { "language": { "tied": "$tied" } }
    }"#,
    names: &[
        llama_like::OUTER_NAMES,
        llama_like::ATTENTION_NAMES,
        llama_like::GATED_MLP_NAMES,
        llama_like::NORM_NAMES,
        llama_like::QK_NORM_NAMES,
        llama_like::EXPERT_NAMES,
    ],
    gguf: Some(Gguf { fixed: &[("bias", Bool(false)), ("norm_topk", Bool(true))], ..Gguf::new("qwen3moe") }),
};
