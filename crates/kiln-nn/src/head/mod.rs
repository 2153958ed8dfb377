//! What hidden states are turned into.

mod language;

pub use language::{Language, LanguageConfig};

use burn::tensor::Tensor;

/// What heads do.
pub trait Output {
    /// `hidden [N, M] → [N, outputs]`; `embedding [V, M]` is the stack's, for a head tied to it.
    fn forward(&self, hidden: Tensor<2>, embedding: Tensor<2>) -> Tensor<2>;

    /// Whether it uses the embedding's weights.
    fn tied(&self) -> bool;
}

crate::variants! {
    /// What hidden states are turned into.
    Head, HeadConfig: dyn Output {
        /// Logits over the vocabulary.
        "language" => Language(Language),
    }
}

impl Default for HeadConfig {
    fn default() -> Self {
        Self::Language(LanguageConfig::default())
    }
}
