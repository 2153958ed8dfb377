//! What hidden states are turned into: logits of each token, or one vector a document.

mod classification;
mod embedding;
mod language_model;
pub mod pooling;

pub use classification::{ClassificationHead, ClassificationHeadConfig};
pub use embedding::{EmbeddingHead, EmbeddingHeadConfig, l2_normalize};
pub use language_model::{HeadTransformConfig, LanguageModelHead, LanguageModelHeadConfig};
pub use pooling::Pooling;

use crate::{init::Initializer, packed_weight::WeightView, position::PositionConfig, variant::BuildContext};
use burn::tensor::Tensor;
use kiln_spec::Direction;

/// What heads do.
pub trait OutputHead {
    /// `hidden [N, M] → [N, outputs]`, N tokens or, for a head that pools, documents; `embedding [V, M]` is the stack's,
    /// for a head tied to it.
    fn forward(&self, hidden: Tensor<2>, embedding: WeightView) -> Tensor<2>;

    /// How a document's tokens become one vector before the head. `None`: the head works on each token, and its outputs
    /// are logits over the vocabulary.
    fn pooling(&self) -> Option<Pooling> {
        None
    }

    /// Whether it uses the embedding's weights.
    fn is_tied(&self) -> bool {
        false
    }
}

crate::variants! {
    /// Output head.
    Head, HeadConfig: dyn OutputHead {
        /// Language-model head: logits over the vocabulary for each token.
        "language" => Language(LanguageModelHead),
        /// Classification head: logits for each document (1810.04805).
        "class" => Class(ClassificationHead),
        /// Sentence-embedding head: one vector for each document (1908.10084).
        "embedding" => Embedding(EmbeddingHead),
    }
}

impl Default for HeadConfig {
    fn default() -> Self {
        Self::Language(LanguageModelHeadConfig::default())
    }
}

impl HeadConfig {
    /// How a document's tokens become one vector; `None` where each token has outputs of its own, logits over the
    /// vocabulary.
    pub fn pooling(&self) -> Option<Pooling> {
        // The head knows: one of no size says it.
        let position = PositionConfig::default();
        let build = BuildContext {
            hidden: 1,
            vocab: 1,
            heads: 1,
            dropout: 0.0,
            position: &position,
            direction: Direction::Causal,
        };
        self.init(&build, &mut Initializer::shapes_only()).pooling()
    }
}
