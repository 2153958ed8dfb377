//! Token embeddings and language-model heads.

use super::norm;
use kiln_nn::{
    head::{HeadConfig, HeadTransformConfig, LanguageModelHeadConfig},
    input_embedding::InputEmbeddingConfig,
    norm::NormConfig,
    part::feed_forward::activation::Activation,
};
use kiln_spec::config::NoOptions;
use proptest::{option, prelude::*, sample::select};

/// Token embedding: scaled or not, with or without token types, normalized in one of three cases.
pub fn embedding() -> impl Strategy<Value = InputEmbeddingConfig> {
    let norm = prop_oneof![2 => Just(NormConfig::None(NoOptions {})), 1 => norm()];
    (select(vec![1.0, 1.0, 2.5]), 0usize..3, norm).prop_map(|(scale, types, norm)| InputEmbeddingConfig {
        scale,
        type_vocab_size: types,
        norm,
    })
}

/// Language-model head: tied or not, with or without bias, scale and a transform (BERT's) before it.
pub fn language() -> impl Strategy<Value = HeadConfig> {
    let activation = select(vec![Activation::Gelu, Activation::GeluTanh, Activation::Silu]);
    let transform = (activation, norm()).prop_map(|(activation, norm)| HeadTransformConfig { activation, norm });
    let transform = prop_oneof![2 => Just(None), 1 => transform.prop_map(Some)];
    (any::<bool>(), any::<bool>(), option::of(select(vec![0.25, 2.0])), transform).prop_map(
        |(tied, bias, scale, transform)| HeadConfig::Language(LanguageModelHeadConfig { tied, bias, scale, transform }),
    )
}
