//! Qwen1.5-MoE and Qwen2 with mixtures of experts (2407.10671): Qwen2 with experts in some layers, one of them shared by all
//! tokens.
//!
//! `mlp_only_layers` and `decoder_sparse_step` say which layers have experts. The output of the shared expert is multiplied by a
//! gate. Reference: `modeling_qwen2_moe.py` of transformers.

use super::{
    Family,
    gguf::Gguf,
    keys::{Absent::*, Constant::*, Key::*},
    llama_like,
    names::linear,
    rope::Rotary,
    sparse_layers::SparseLayers,
    windows::LayerTypes,
};

pub(super) const FAMILY: Family = Family {
    name: "qwen2_moe",
    aliases: &[],
    architectures: &["Qwen2MoeForCausalLM", "Qwen2MoeModel"],
    prefix: "model.",
    ignored_suffixes: &["rotary_emb.inv_freq"],
    keys: &[
        Size("vocab_size", "vocab", Is(151_936)),
        Size("hidden_size", "hidden", Is(2048)),
        Size("intermediate_size", "intermediate", Is(5632)),
        Layers("num_hidden_layers", "layers", 24),
        Size("num_attention_heads", "heads", Is(16)),
        Integer("num_key_value_heads", "kv_heads", Is(16)),
        Integer("head_dim", "head_dim", Null),
        Activation("hidden_act", "activation", "silu"),
        Float("rms_norm_eps", "eps", 1e-6),
        Flag("tie_word_embeddings", "tied", false),
        Converted(&Rotary::scaled(32_768)),
        Flag("qkv_bias", "bias", true),
        Converted(&LayerTypes::EVERY_OTHER),
        Size("moe_intermediate_size", "expert_intermediate", Is(1408)),
        Size("shared_expert_intermediate_size", "shared_intermediate", Is(5632)),
        Size("num_experts", "experts", Is(60)),
        Size("num_experts_per_tok", "top_k", Is(4)),
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
                  "heads": "$heads", "kv_heads": "$kv_heads", "head_dim": "$head_dim", "bias": "$bias", "out_bias": false } } } }] },
            { "junction": { "pre": { "norm": { "rms": { "eps": "$eps" } } } },
              "parts": [{ "$case": "$sparse[]",
                  "true": { "experts": { "num_experts": "$experts", "top_k": "$top_k", "norm_topk_prob": "$norm_topk",
                      "router_aux_loss_coef": "$aux_loss", "router_z_loss_coef": 0.0, "shared_expert_gate": true,
                      "expert": { "gated_mlp": { "intermediate": "$expert_intermediate", "activation": "$activation" } },
                      "shared_expert": { "gated_mlp": { "intermediate": "$shared_intermediate", "activation": "$activation" } } } },
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
        llama_like::EXPERT_NAMES,
        &[
            linear("blocks.{i}.feed_forward.shared.gate", "model.layers.{i}.mlp.shared_expert.gate_proj"),
            linear("blocks.{i}.feed_forward.shared.up", "model.layers.{i}.mlp.shared_expert.up_proj"),
            linear("blocks.{i}.feed_forward.shared.down", "model.layers.{i}.mlp.shared_expert.down_proj"),
            linear("blocks.{i}.feed_forward.shared_gate", "model.layers.{i}.mlp.shared_expert_gate"),
        ],
    ],
    gguf: Some(Gguf { fixed: &[("norm_topk", Bool(false)), ("tied", Bool(false))], ..Gguf::new("qwen2moe") }),
};
