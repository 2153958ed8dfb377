//! Llama-like families: what Llama, Mistral, Phi-3 and Qwen2 have in common.
//!
//! Decoder of pre-norm blocks: x ← x + attention(RMSNorm(x)), x ← x + gated MLP(RMSNorm(x)), with rotary positions,
//! grouped-query attention and a final RMSNorm. The families differ in biases, sliding windows and defaults.

use super::names::{Name, linear, same};

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

/// Tensor names of these families.
pub(super) const NAMES: &[Name] = &[
    same("embedding", "model.embed_tokens.weight"),
    linear("blocks.{i}.attention.q", "model.layers.{i}.self_attn.q_proj"),
    linear("blocks.{i}.attention.k", "model.layers.{i}.self_attn.k_proj"),
    linear("blocks.{i}.attention.v", "model.layers.{i}.self_attn.v_proj"),
    linear("blocks.{i}.attention.o", "model.layers.{i}.self_attn.o_proj"),
    linear("blocks.{i}.feed_forward.gate", "model.layers.{i}.mlp.gate_proj"),
    linear("blocks.{i}.feed_forward.up", "model.layers.{i}.mlp.up_proj"),
    linear("blocks.{i}.feed_forward.down", "model.layers.{i}.mlp.down_proj"),
    same("blocks.{i}.attention_norm", "model.layers.{i}.input_layernorm"),
    same("blocks.{i}.feed_forward_norm", "model.layers.{i}.post_attention_layernorm"),
    same("norm", "model.norm"),
    linear("head", "lm_head"),
    same("embedding", "lm_head.weight").if_tied(),
];
