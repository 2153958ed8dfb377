//! Token embeddings and language-model heads.

use super::norm;
use kiln_nn::{
    head::{HeadConfig, HeadTransformConfig, LanguageModelHeadConfig},
    input_embedding::{EmbeddingProjection, FactorizedEmbeddingConfig, InputEmbeddingConfig},
    norm::NormConfig,
    part::feed_forward::activation::Activation,
};
use kiln_spec::config::NoOptions;
use proptest::{option, prelude::*, sample::select};

/// Token embedding: scaled or not, with or without token types, normalized in one of three cases, factorized in one of
/// four.
pub fn embedding() -> BoxedStrategy<InputEmbeddingConfig> {
    let norm = prop_oneof![2 => Just(NormConfig::None(NoOptions {})), 1 => norm()];
    let options = (select(vec![1.0, 1.0, 2.5]), 0usize..3, norm, option::weighted(0.25, factorized()));
    options
        .prop_map(|(scale, types, norm, factorized)| InputEmbeddingConfig {
            scale,
            type_vocab_size: types,
            norm,
            factorized,
        })
        .boxed()
}

/// A factorized embedding, projected last or first. Its width is even, for sinusoidal positions.
fn factorized() -> impl Strategy<Value = FactorizedEmbeddingConfig> {
    let order = select(vec![EmbeddingProjection::Last, EmbeddingProjection::First]);
    (select(vec![2, 6]), any::<bool>(), order).prop_map(|(width, bias, projection)| FactorizedEmbeddingConfig {
        width,
        bias,
        projection,
    })
}

/// Language-model head: tied or not, with or without bias, scale, softcap and a transform (BERT's) before it; an untied one
/// of the hidden size or another.
pub fn language() -> BoxedStrategy<HeadConfig> {
    let activation = select(vec![Activation::GELU, Activation::GELU_TANH, Activation::SILU]);
    let transform = (activation, norm(), any::<bool>()).prop_map(|(activation, norm, bias)| HeadTransformConfig {
        activation,
        norm,
        bias,
    });
    let transform = prop_oneof![2 => Just(None), 1 => transform.prop_map(Some)];
    let limits = (option::weighted(0.3, Just(3)), option::weighted(0.3, 8.0f64..16.0));
    (any::<[bool; 2]>(), option::of(select(vec![0.25, 2.0])), transform, limits)
        .prop_map(|([tied, bias], scale, transform, (width, softcap))| {
            let width = width.filter(|_| !tied);
            HeadConfig::Language(LanguageModelHeadConfig { tied, bias, scale, transform, width, softcap })
        })
        .boxed()
}
