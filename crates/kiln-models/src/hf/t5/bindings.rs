//! What the weights of T5 and its kin are called.

use crate::{
    config::{BlockConfig, ModelConfig},
    hf::binding::Binding,
};
use kiln_nn::{head::HeadConfig, part::PartConfig};

pub(in crate::hf) fn bindings(config: &ModelConfig) -> Vec<Binding> {
    let embeddings = ["shared", "encoder.embed_tokens", "decoder.embed_tokens"];
    let mut ties: Vec<Binding> = embeddings.map(|file| Binding::identity("embedding", format!("{file}.weight"))).into();
    ties.push(match &config.head {
        HeadConfig::Language(head) if !head.tied => Binding::transposed("head.weight", "lm_head.weight"),
        _ => Binding::identity("embedding", "lm_head.weight"),
    });
    let encoder = config.encoder_model_config();
    for (kiln, file, config) in [("", "decoder", Some(config)), ("encoder.", "encoder", encoder.as_ref())] {
        let Some(config) = config else { continue };
        let bias = format!("{file}.block.0.layer.0.SelfAttention.relative_attention_bias.weight");
        ties.push(Binding::identity(format!("{kiln}position.weight"), bias));
        ties.push(Binding::identity(format!("{kiln}norm.weight"), format!("{file}.final_layer_norm.weight")));
        let blocks = config.blocks.iter().flat_map(|block| std::iter::repeat_n(block, block.repeat));
        for (i, block) in blocks.enumerate() {
            ties.extend(block_bindings(block, &format!("{kiln}blocks.{i}"), &format!("{file}.block.{i}")));
        }
    }
    ties
}

fn block_bindings(block: &BlockConfig, kiln: &str, file: &str) -> Vec<Binding> {
    let mut ties = Vec::new();
    for (i, sublayer) in block.sublayers.iter().enumerate() {
        let (role, theirs, matrices): (_, _, &[_]) = match sublayer.parts.first() {
            Some(PartConfig::Attention(attention)) => {
                let cross = attention.source.is_cross();
                let role = if cross { "cross_attention" } else { "attention" };
                let theirs = if cross { "EncDecAttention" } else { "SelfAttention" };
                (role, theirs, &[("q", "q"), ("k", "k"), ("v", "v"), ("o", "o")])
            }
            Some(PartConfig::GatedMlp(_)) => {
                ("feed_forward", "DenseReluDense", &[("gate", "wi_0"), ("up", "wi_1"), ("down", "wo")])
            }
            _ => ("feed_forward", "DenseReluDense", &[("up", "wi"), ("down", "wo")]),
        };
        for (ours, name) in matrices {
            ties.extend(Binding::linear(
                &format!("{kiln}.{role}.{ours}"),
                &format!("{file}.layer.{i}.{theirs}.{name}"),
                false,
            ));
        }
        ties.extend(Binding::norm(&format!("{kiln}.{role}_norm"), &format!("{file}.layer.{i}.layer_norm"), false));
    }
    ties
}
