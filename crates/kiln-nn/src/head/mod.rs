//! What hidden states are turned into: logits of each token, or one vector a document.

mod class;
mod embedding;
mod language;
pub mod pool;

pub use class::{Class, ClassConfig};
pub use embedding::{Embedding, EmbeddingConfig, normalised};
pub use language::{Language, LanguageConfig, TransformConfig};
pub use pool::Pooling;

use crate::{held::Matrix, init::Init, position::PositionConfig, variant::Around};
use burn::tensor::Tensor;
use kiln_spec::Direction;

/// What heads do.
pub trait Output {
    /// `hidden [N, M] → [N, outputs]`, N tokens or, for a head that pools, documents; `embedding [V, M]` is the stack's,
    /// for a head tied to it.
    fn forward(&self, hidden: Tensor<2>, embedding: Matrix) -> Tensor<2>;

    /// How a document's tokens become one vector before the head. `None`: the head works on each token, and its outputs
    /// are logits over the vocabulary.
    fn pooling(&self) -> Option<Pooling> {
        None
    }

    /// Whether it uses the embedding's weights.
    fn tied(&self) -> bool {
        false
    }
}

crate::variants! {
    /// What hidden states are turned into.
    Head, HeadConfig: dyn Output {
        /// Logits over the vocabulary.
        "language" => Language(Language),
        /// A logit a class, for each document (1810.04805).
        "class" => Class(Class),
        /// A vector of length 1 for each document (1908.10084).
        "embedding" => Embedding(Embedding),
    }
}

impl Default for HeadConfig {
    fn default() -> Self {
        Self::Language(LanguageConfig::default())
    }
}

impl HeadConfig {
    /// How a document's tokens become one vector; `None` where each token has outputs of its own, logits over the
    /// vocabulary.
    pub fn pooling(&self) -> Option<Pooling> {
        // The head knows: one of no size says it.
        let position = PositionConfig::default();
        let around =
            Around { hidden: 1, vocab: 1, heads: 1, dropout: 0.0, position: &position, direction: Direction::Causal };
        self.init(&around, &mut Init::counting()).pooling()
    }
}
