//! Llama-like families: what Llama, Mistral, Phi-3 and Qwen2 have in common.
//!
//! Decoder of pre-norm blocks: x ← x + attention(RMSNorm(x)), x ← x + gated MLP(RMSNorm(x)), with rotary positions,
//! grouped-query attention and a final RMSNorm. The families differ in biases, sliding windows and defaults.

use super::binding::Binding;
use crate::config::ModelConfig;
use kiln_nn::part::{
    PartConfig,
    attention::{MultiHeadProjectionConfig, ProjectionConfig},
    feed_forward::gated_mlp::GatedMlpConfig,
};

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

/// Settings of a Llama-like model that its tensor names depend on.
pub(super) struct LlamaBlocks<'a> {
    /// Attention heads of the first block.
    pub heads: &'a MultiHeadProjectionConfig,
    /// Gated MLP of the first block.
    pub mlp: &'a GatedMlpConfig,
}

/// The first block of a model of this form; `None` for other models.
pub(super) fn first_block(config: &ModelConfig) -> Option<LlamaBlocks<'_>> {
    let mut parts = config.parts().map(|(_, part)| part);
    let (Some(PartConfig::Attention(attention)), Some(PartConfig::GatedMlp(mlp))) = (parts.next(), parts.next()) else {
        return None;
    };
    let ProjectionConfig::Heads(heads) = &attention.projection else { return None };
    Some(LlamaBlocks { heads, mlp })
}

/// Tensor names of the whole model; none if it is not of this form.
pub(super) fn bindings(config: &ModelConfig) -> Vec<Binding> {
    let Some(blocks) = first_block(config) else { return Vec::new() };
    let mut bindings = vec![Binding::identity("embedding", "model.embed_tokens.weight")];
    bindings.extend((0..config.num_layers()).flat_map(|layer| layer_bindings(layer, &blocks)));
    bindings.extend(Binding::norm("norm", "model.norm", false));
    bindings.push(Binding::lm_head(&config.head, "lm_head.weight"));
    bindings
}

/// Tensor names of a layer.
fn layer_bindings(index: usize, blocks: &LlamaBlocks) -> Vec<Binding> {
    let (block, layer) = (format!("blocks.{index}"), format!("model.layers.{index}"));
    let bias = blocks.heads.bias;
    let linear = [
        ("attention.q", "self_attn.q_proj", bias),
        ("attention.k", "self_attn.k_proj", bias),
        ("attention.v", "self_attn.v_proj", bias),
        ("attention.o", "self_attn.o_proj", blocks.heads.out_bias.unwrap_or(bias)),
        ("feed_forward.gate", "mlp.gate_proj", blocks.mlp.bias),
        ("feed_forward.up", "mlp.up_proj", blocks.mlp.bias),
        ("feed_forward.down", "mlp.down_proj", blocks.mlp.bias),
    ];
    let mut bindings = Vec::new();
    for (ours, theirs, bias) in linear {
        bindings.extend(Binding::linear(&format!("{block}.{ours}"), &format!("{layer}.{theirs}"), bias));
    }
    for (ours, theirs) in [("attention_norm", "input_layernorm"), ("feed_forward_norm", "post_attention_layernorm")] {
        bindings.extend(Binding::norm(&format!("{block}.{ours}"), &format!("{layer}.{theirs}"), false));
    }
    bindings
}
