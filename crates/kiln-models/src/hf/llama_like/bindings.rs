//! Names of the weights.

use super::{LlamaBlocks, match_llama_blocks};
use crate::{config::ModelConfig, hf::binding::Binding};

/// Names of all of it.
pub(in crate::hf) fn bindings(config: &ModelConfig) -> Vec<Binding> {
    let Ok(found) = match_llama_blocks(config) else { return Vec::new() };
    let mut ties = vec![Binding::identity("embedding", "model.embed_tokens.weight")];
    ties.extend((0..config.num_layers()).flat_map(|layer| layer_bindings(layer, &found)));
    ties.extend(Binding::norm("norm", "model.norm", false));
    ties.push(Binding::lm_head(&config.head, "lm_head.weight"));
    ties
}

fn layer_bindings(layer: usize, found: &LlamaBlocks) -> Vec<Binding> {
    let (bias, out_bias) = (found.heads.bias, found.heads.out_bias.unwrap_or(found.heads.bias));
    let gated = found.feed_forward.bias;
    let linear = [
        ("attention.q", "self_attn.q_proj", bias),
        ("attention.k", "self_attn.k_proj", bias),
        ("attention.v", "self_attn.v_proj", bias),
        ("attention.o", "self_attn.o_proj", out_bias),
        ("feed_forward.gate", "mlp.gate_proj", gated),
        ("feed_forward.up", "mlp.up_proj", gated),
        ("feed_forward.down", "mlp.down_proj", gated),
    ];
    let norms = [("attention_norm", "input_layernorm"), ("feed_forward_norm", "post_attention_layernorm")];
    let (kiln, file) = (format!("blocks.{layer}"), format!("model.layers.{layer}"));
    let both = |ours: &str, theirs: &str| (format!("{kiln}.{ours}"), format!("{file}.{theirs}"));
    let linear = linear.into_iter().flat_map(|(ours, theirs, bias)| {
        let (ours, theirs) = both(ours, theirs);
        Binding::linear(&ours, &theirs, bias)
    });
    let norms = norms.into_iter().flat_map(|(ours, theirs)| {
        let (ours, theirs) = both(ours, theirs);
        Binding::norm(&ours, &theirs, false)
    });
    linear.chain(norms).collect()
}
