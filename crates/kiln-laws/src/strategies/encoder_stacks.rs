//! Encoders, encoder-decoders, and heads of every kind.

use super::{attention, block, decoder, junction, language, norm, position, replace_post_norms};
use kiln_models::{BlockConfig, EncoderConfig, ModelConfig, Stack, SublayerConfig, Visibility};
use kiln_nn::{
    head::{ClassificationHeadConfig, EmbeddingHeadConfig, HeadConfig, HeadTransformConfig, Pooling},
    part::{
        PartConfig,
        attention::{AttentionConfig, AttentionSource},
        feed_forward::mlp::MlpConfig,
    },
    position::PositionConfig,
    variant::Causality,
};
use kiln_spec::config::NoOptions;
use proptest::{collection::vec, option, prelude::*, sample::select};

/// Any legal encoder, with any head.
pub fn encoder() -> impl Strategy<Value = ModelConfig> {
    (decoder(), head()).prop_map(|(mut config, head)| {
        config.blocks.iter_mut().for_each(replace_causal_only);
        replace_causal_only_position(&mut config.position);
        (config.stack, config.visibility, config.head) = (Stack::Encoder, Visibility::Bidirectional, head);
        config.resolve();
        config
    })
}

/// Replaces parts that work from left to right only: an encoder is bidirectional, and an encoder without blocks of its
/// own has those of the decoder.
fn replace_causal_only(block: &mut BlockConfig) {
    for part in block.sublayers.iter_mut().flat_map(|sublayer| &mut sublayer.parts) {
        if part.card().causality == Causality::CausalOnly {
            *part = PartConfig::Mlp(MlpConfig { intermediate: Some(3), ..MlpConfig::default() });
        }
        if let PartConfig::Attention(attention) = part {
            attention.position.iter_mut().for_each(replace_causal_only_position);
        }
    }
}

/// Replaces a position encoding that works from left to right only.
fn replace_causal_only_position(position: &mut PositionConfig) {
    if position.card().causality == Causality::CausalOnly {
        *position = PositionConfig::None(NoOptions {});
    }
}

/// Any legal encoder-decoder. The encoder is like the decoder, or has positions, blocks or a norm of its own. One
/// sublayer of the decoder is a cross attention, at any position of the first block.
pub fn encoder_decoder() -> impl Strategy<Value = ModelConfig> {
    let own = (option::of(position()), option::of(vec(block(), 1..3)), option::of(norm()));
    let own = own.prop_map(|(position, blocks, norm)| EncoderConfig { position, blocks, norm });
    (decoder(), option::of(own), attention(), junction(), 0usize..4).prop_map(
        |(mut config, own, cross, junction, at)| {
            let source = AttentionSource::Cross(NoOptions {});
            let cross = PartConfig::Attention(AttentionConfig { source, position: None, ..cross });
            let mut own = own;
            let blocks = own.iter_mut().flat_map(|own| &mut own.blocks).flatten();
            blocks.chain(&mut config.blocks).for_each(replace_causal_only);
            let positions = own.iter_mut().flat_map(|own| &mut own.position);
            positions.chain([&mut config.position]).for_each(replace_causal_only_position);
            let sublayers = &mut config.blocks[0].sublayers;
            sublayers.insert(at.min(sublayers.len()), SublayerConfig::new(junction, vec![cross]));
            (config.stack, config.visibility, config.encoder) = (Stack::EncoderDecoder, Visibility::Prefix, own);
            replace_post_norms(&mut config);
            config.resolve();
            config
        },
    )
}

/// Any head: language model, classification, embedding.
pub fn head() -> impl Strategy<Value = HeadConfig> {
    prop_oneof![
        language(),
        (
            2usize..5,
            pooling(),
            select(vec![(false, None), (true, None), (false, Some(HeadTransformConfig::default()))])
        )
            .prop_map(|(num_classes, pooling, (pooler, transform))| HeadConfig::Class(
                ClassificationHeadConfig { num_classes, pooling, pooler, transform }
            )),
        (pooling(), option::of(2usize..5), any::<bool>()).prop_map(|(pooling, projection_dim, normalize)| {
            HeadConfig::Embedding(EmbeddingHeadConfig { pooling, projection_dim, normalize })
        }),
    ]
}

/// Any pooling.
fn pooling() -> impl Strategy<Value = Pooling> {
    select(vec![Pooling::First, Pooling::Mean, Pooling::Max, Pooling::Last])
}
