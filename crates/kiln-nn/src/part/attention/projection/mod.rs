//! How queries, keys and values are made and merged.

mod heads;

pub use super::Project;
pub(crate) use heads::split;
pub use heads::{Heads, HeadsConfig};

use burn::tensor::Tensor;

/// What is kept of each token: tensors `[B, G, T, width]`, joined along T.
pub type Entry = Vec<Tensor<4>>;

crate::variants! {
    /// How queries, keys and values are made and merged.
    Projection, ProjectionConfig: dyn Project {
        /// Multi-head, grouped-query and multi-query heads by two numbers (1706.03762, 2305.13245, 1911.02150).
        "heads" => Heads(Heads),
    }
}

impl Default for ProjectionConfig {
    fn default() -> Self {
        Self::Heads(HeadsConfig::default())
    }
}
