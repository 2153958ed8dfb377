//! Llama-like families: what Llama, Mistral, Phi-3 and Qwen2 have in common.
//!
//! Decoder of pre-norm blocks: x ← x + attention(RMSNorm(x)), x ← x + gated MLP(RMSNorm(x)), with rotary positions,
//! grouped-query attention and a final RMSNorm. The families differ in biases, sliding windows and defaults.

use super::names::{Name, fused, linear, same};

/// Configuration of these families. Holes for each layer: `pattern`.
pub(super) const TEMPLATE: &str = r#"{
    "vocab": "$vocab",
    "hidden": "$hidden",
    "position": "$position",
    "blocks": { "$each": "$layers", "block": { "sublayers": [
        { "junction": { "pre": { "norm": { "rms": { "eps": "$eps" } } } },
          "parts": [{ "attention": { "pattern": "$pattern[]", "projection": { "heads": {
              "heads": "$heads", "kv_heads": "$kv_heads", "head_dim": "$head_dim",
              "bias": "$qkv_bias", "out_bias": "$out_bias" } } } }] },
        { "junction": { "pre": { "norm": { "rms": { "eps": "$eps" } } } },
          "parts": [{ "gated_mlp": { "intermediate": "$intermediate", "activation": "$activation", "bias": "$mlp_bias" } }] }
    ] } },
    "norm": { "rms": { "eps": "$eps" } },
    "head": { "language": { "tied": "$tied" } }
}"#;

/// Tensor names of the embedding, the final norm and the head.
pub(super) const OUTER_NAMES: &[Name] = &[
    same("embedding", "model.embed_tokens.weight"),
    same("norm", "model.norm"),
    linear("head", "lm_head"),
    same("embedding", "lm_head.weight").if_tied(),
];

/// Tensor names of attention with a matrix each for q, k, v and o.
pub(super) const ATTENTION_NAMES: &[Name] = &[
    linear("blocks.{i}.attention.q", "model.layers.{i}.self_attn.q_proj"),
    linear("blocks.{i}.attention.k", "model.layers.{i}.self_attn.k_proj"),
    linear("blocks.{i}.attention.v", "model.layers.{i}.self_attn.v_proj"),
    linear("blocks.{i}.attention.o", "model.layers.{i}.self_attn.o_proj"),
];

/// Tensor names of the norms of queries and keys.
pub(super) const QK_NORM_NAMES: &[Name] = &[
    same("blocks.{i}.attention.q_norm", "model.layers.{i}.self_attn.q_norm"),
    same("blocks.{i}.attention.k_norm", "model.layers.{i}.self_attn.k_norm"),
];

/// Tensor names of a gated MLP.
pub(super) const GATED_MLP_NAMES: &[Name] = &[
    linear("blocks.{i}.feed_forward.gate", "model.layers.{i}.mlp.gate_proj"),
    linear("blocks.{i}.feed_forward.up", "model.layers.{i}.mlp.up_proj"),
    linear("blocks.{i}.feed_forward.down", "model.layers.{i}.mlp.down_proj"),
];

/// Tensor names of the norms before attention and before the feed-forward part.
pub(super) const NORM_NAMES: &[Name] = &[
    same("blocks.{i}.attention_norm", "model.layers.{i}.input_layernorm"),
    same("blocks.{i}.feed_forward_norm", "model.layers.{i}.post_attention_layernorm"),
];

/// Tensor names of a mixture of gated experts: a file has one tensor for each expert, or all of them stacked as the reference's
/// modules hold them.
pub(super) const EXPERT_NAMES: &[Name] = &[
    linear("blocks.{i}.feed_forward.router", "model.layers.{i}.mlp.gate"),
    linear("blocks.{i}.feed_forward.experts.gate", "model.layers.{i}.mlp.experts.{e}.gate_proj"),
    linear("blocks.{i}.feed_forward.experts.up", "model.layers.{i}.mlp.experts.{e}.up_proj"),
    linear("blocks.{i}.feed_forward.experts.down", "model.layers.{i}.mlp.experts.{e}.down_proj"),
    // Stacked.
    fused(
        &["blocks.{i}.feed_forward.experts.gate", "blocks.{i}.feed_forward.experts.up"],
        "model.layers.{i}.mlp.experts.gate_up_proj",
    )
    .with_ends(&[(".weight", "")]),
    linear("blocks.{i}.feed_forward.experts.down", "model.layers.{i}.mlp.experts.down_proj")
        .with_ends(&[(".weight", "")]),
];
