//! Depth rules: whether, and for which tokens, a block runs.

mod always;

pub use always::Always;

use crate::{cx::Cx, junction::Inner};
use burn::tensor::Tensor;

/// What depth rules do.
pub trait Deep {
    /// Runs `block`, residual included, `[B, T, M] → [B, T, M]`.
    fn around(&self, x: Tensor<3>, cx: &mut Cx, block: Inner) -> Tensor<3>;
}

crate::variants! {
    /// Whether, and for which tokens, a block runs.
    Depth, DepthConfig: dyn Deep {
        /// For every token.
        "always" => Always(Always),
    }
}

impl Default for DepthConfig {
    fn default() -> Self {
        Self::Always(kiln_spec::config::Nothing {})
    }
}
