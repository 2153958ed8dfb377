//! DeepSeek V3 (2412.19437): latent attention, and mixtures of many small experts with a sigmoid router, a selection bias and
//! shared experts, after some layers without experts.
//!
//! Published files have layers of multi-token prediction behind the last layer. They are ignored, as in the reference:
//! `modeling_deepseek_v3.py` of transformers.

use super::{
    Family,
    gguf::{self, Gguf},
    keys::{Absent::*, Constant::*, Key::*},
    latent_rotary::LatentRotary,
    llama_like,
    names::{fused, linear, same},
    rope::Rotary,
    scales::Multiple,
    sigmoid_router::SigmoidRouter,
    sparse_layers::FirstLayersDense,
};

pub(super) const FAMILY: Family = Family {
    name: "deepseek_v3",
    aliases: &[],
    architectures: &["DeepseekV3ForCausalLM", "DeepseekV3Model"],
    prefix: "model.",
    ignored_suffixes: &["rotary_emb.inv_freq", "model.layers.{n}."],
    keys: &[
        Size("vocab_size", "vocab", Is(129_280)),
        Size("hidden_size", "hidden", Is(7168)),
        Size("intermediate_size", "intermediate", Is(18_432)),
        Layers("num_hidden_layers", "layers", 61),
        Size("num_attention_heads", "heads", Is(128)),
        Equal("num_key_value_heads", "heads"),
        Integer("q_lora_rank", "q_rank", Is(1536)),
        Size("kv_lora_rank", "kv_rank", Is(512)),
        Size("qk_nope_head_dim", "nope", Is(128)),
        Size("qk_rope_head_dim", "rope", Is(64)),
        Size("v_head_dim", "value", Is(128)),
        Flag("attention_bias", "bias", false),
        Activation("hidden_act", "activation", "silu"),
        Float("rms_norm_eps", "eps", 1e-6),
        Flag("tie_word_embeddings", "tied", false),
        Converted(&LatentRotary { rotary: Rotary::scaled(4096) }),
        Converted(&FirstLayersDense { absent: 3 }),
        Size("moe_intermediate_size", "expert_intermediate", Is(2048)),
        Converted(&Multiple {
            key: "n_shared_experts",
            hole: "shared_intermediate",
            gguf: "expert_shared_count",
            of: "expert_intermediate",
            absent: 1,
        }),
        Size("n_routed_experts", "experts", Is(256)),
        Size("num_experts_per_tok", "top_k", Is(8)),
        Size("n_group", "n_group", Is(8)),
        Size("topk_group", "topk_group", Is(4)),
        Flag("norm_topk_prob", "norm_topk", true),
        Float("routed_scaling_factor", "routed_scaling", 2.5),
        Converted(&SigmoidRouter),
        Only("moe_layer_freq", Whole(1)),
        Only("scoring_func", Text("sigmoid")),
        Only("topk_method", Text("noaux_tc")),
        // Sums of the widths above, layers that are not read, how training was distributed.
        Ignored(&["head_dim", "qk_head_dim", "num_mtp_layers", "num_nextn_predict_layers", "output_router_logits"]),
        Ignored(&["pretraining_tp", "ep_size", "aux_loss_alpha", "seq_aux"]),
        NoDropout("attention_dropout"),
        Only("is_causal", Bool(true)),
        Written("use_cache", Bool(true)),
    ],
    // The norms of the latents have the ε of their class.
    template: r#"{
        "vocab": "$vocab", "hidden": "$hidden", "position": "$position",
        "blocks": { "$each": "$layers", "block": { "sublayers": [
            { "junction": { "pre": { "norm": { "rms": { "eps": "$eps" } } } },
              "parts": [{ "attention": { "projection": { "latent": {
                  "heads": "$heads", "q_lora_rank": "$q_rank", "kv_lora_rank": "$kv_rank",
                  "qk_nope_head_dim": "$nope", "qk_rope_head_dim": "$rope", "v_head_dim": "$value",
                  "norm": { "rms": { "eps": 1e-6 } }, "bias": "$bias", "scale": "$score_scale" } } } }] },
            { "junction": { "pre": { "norm": { "rms": { "eps": "$eps" } } } },
              "parts": [{ "$case": "$sparse[]",
                  "true": { "experts": { "num_experts": "$experts", "top_k": "$top_k", "scoring_func": "sigmoid",
                      "selection_bias": {}, "norm_topk_prob": "$norm_topk", "routed_scaling_factor": "$routed_scaling",
                      "groups": { "n_group": "$n_group", "topk_group": "$topk_group", "score": "top_two_sum" },
                      "router_aux_loss_coef": 0.0, "router_z_loss_coef": 0.0,
                      "expert": { "gated_mlp": { "intermediate": "$expert_intermediate", "activation": "$activation" } },
                      "shared_expert": { "gated_mlp": { "intermediate": "$shared_intermediate", "activation": "$activation" } } } },
                  "false": { "gated_mlp": { "intermediate": "$intermediate", "activation": "$activation" } } }] }
        ] } },
        "norm": { "rms": { "eps": "$eps" } },
        "head": { "language": { "tied": "$tied" } }
    }"#,
    names: &[
        llama_like::OUTER_NAMES,
        llama_like::GATED_MLP_NAMES,
        llama_like::NORM_NAMES,
        llama_like::EXPERT_NAMES,
        &[
            linear("blocks.{i}.attention.q", "model.layers.{i}.self_attn.q_proj")
                .without("blocks.{i}.attention.q_down.weight"),
            linear("blocks.{i}.attention.q_down", "model.layers.{i}.self_attn.q_a_proj"),
            same("blocks.{i}.attention.q_norm", "model.layers.{i}.self_attn.q_a_layernorm"),
            linear("blocks.{i}.attention.q", "model.layers.{i}.self_attn.q_b_proj")
                .with("blocks.{i}.attention.q_down.weight"),
            fused(
                &["blocks.{i}.attention.kv_down", "blocks.{i}.attention.k_rope"],
                "model.layers.{i}.self_attn.kv_a_proj_with_mqa",
            ),
            same("blocks.{i}.attention.kv_norm", "model.layers.{i}.self_attn.kv_a_layernorm"),
            fused(&["blocks.{i}.attention.k", "blocks.{i}.attention.v"], "model.layers.{i}.self_attn.kv_b_proj.weight")
                .by_head(),
            linear("blocks.{i}.attention.o", "model.layers.{i}.self_attn.o_proj"),
            same("blocks.{i}.feed_forward.selection_bias", "model.layers.{i}.mlp.gate.e_score_correction_bias"),
            linear("blocks.{i}.feed_forward.shared.gate", "model.layers.{i}.mlp.shared_experts.gate_proj"),
            linear("blocks.{i}.feed_forward.shared.up", "model.layers.{i}.mlp.shared_experts.up_proj"),
            linear("blocks.{i}.feed_forward.shared.down", "model.layers.{i}.mlp.shared_experts.down_proj"),
        ],
    ],
    gguf: Some(Gguf { names: gguf::names::LATENT, fixed: &[("bias", Bool(false))], ..Gguf::new("deepseek2") }),
};
