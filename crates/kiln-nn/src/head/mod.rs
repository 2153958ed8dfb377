//! Output heads: from hidden states `[N, M]` to logits for each token, or one vector for each document.
//!
//! | head | output | parameters | paper |
//! |---|---|---|---|
//! | language model | logits `[N, V]` | `weight [M, V]` unless tied, `bias [V]`, `transform` | 1608.05859, 1810.04805 |
//! | classification | logits `[D, classes]` | `classes`, `pooler` or `transform` | 1810.04805 |
//! | sentence embedding | vectors `[D, width]` | `dense` | 1908.10084 |
//!
//! N tokens, D documents. Heads that work on documents state a [`Pooling`]; the model pools before it calls them. Parameters
//! are under `head`.

mod classification;
mod embedding;
mod language_model;
pub mod pooling;

pub use classification::{ClassificationHead, ClassificationHeadConfig};
pub use embedding::{EmbeddingHead, EmbeddingHeadConfig, l2_normalize};
pub use language_model::{HeadTransformConfig, LanguageModelHead, LanguageModelHeadConfig};
pub use pooling::Pooling;

use crate::{init::Initializer, packed_weight::WeightView, position::PositionConfig, variant::BuildContext};
use burn::tensor::{Int, Tensor};
use kiln_kernels::{cross_entropy::cross_entropy, exact::Arithmetic};
use kiln_spec::Direction;

/// Output head.
pub trait OutputHead {
    /// Returns the outputs of N tokens or, for a head that pools, N documents: `hidden [N, M] → [N, outputs]`. `embedding` is
    /// the token table `[V, M]`, for a tied head.
    fn forward(&self, hidden: Tensor<2>, embedding: WeightView, arithmetic: Arithmetic) -> Tensor<2>;

    /// Cross-entropy −log p of target tokens, in nats: `hidden [N, M]`, `targets [N] → [N]`, with p the softmax of the outputs.
    fn cross_entropy(&self, hidden: Tensor<2>, targets: Tensor<1, Int>, embedding: WeightView) -> Tensor<1> {
        cross_entropy(self.forward(hidden, embedding, Arithmetic::Fast), targets)
    }

    /// Returns how the tokens of a document become one vector before the head. `None`: the head works on each token, and its
    /// outputs are logits over the vocabulary.
    fn pooling(&self) -> Option<Pooling> {
        None
    }

    /// Whether it uses the token table as its output matrix.
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
    /// Returns the pooling of the configured head; `None` for a head that works on each token.
    pub fn pooling(&self) -> Option<Pooling> {
        // Only a module knows its pooling, so a head of width 1 is built, without memory for its parameters.
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
