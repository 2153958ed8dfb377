//! How queries, keys and values are made and merged.

mod heads;
mod latent;

pub use super::Project;
pub(crate) use heads::split;
pub use heads::{Heads, HeadsConfig};
pub use latent::{Latent, LatentConfig};

use burn::tensor::Tensor;

/// What is kept of each token: tensors `[B, G, T, width]`, joined along T.
pub type Entry = Vec<Tensor<4>>;

crate::variants! {
    /// How queries, keys and values are made and merged.
    Projection, ProjectionConfig: dyn Project {
        /// Multi-head, grouped-query and multi-query heads by two numbers (1706.03762, 2305.13245, 1911.02150).
        "heads" => Heads(Heads),
        /// Multi-head latent attention: keys and values of all heads are made of one latent a token (2405.04434).
        "latent" => Latent(Latent),
    }
}

impl Default for ProjectionConfig {
    fn default() -> Self {
        Self::Heads(HeadsConfig::default())
    }
}

impl ProjectionConfig {
    /// Query heads.
    pub fn heads(&self) -> usize {
        match self {
            Self::Heads(c) => c.heads,
            Self::Latent(c) => c.heads,
        }
    }
}
