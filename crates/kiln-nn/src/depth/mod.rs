//! Depth rules: whether, and for which tokens, a block runs.

mod always;
mod choice;
mod layer_drop;
mod mixture_of_depths;

pub use always::Always;
pub use layer_drop::{LayerDrop, LayerDropConfig};
pub use mixture_of_depths::{Gate, MixtureOfDepths, MixtureOfDepthsConfig};

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
        /// Not in every step: left out at random while training (1909.11556).
        "layer_drop" => LayerDrop(LayerDrop),
        /// For some tokens: those that a router picks (2404.02258).
        "mixture_of_depths" => MixtureOfDepths(MixtureOfDepths),
    }
}

impl Default for DepthConfig {
    fn default() -> Self {
        Self::Always(kiln_spec::config::Nothing {})
    }
}
