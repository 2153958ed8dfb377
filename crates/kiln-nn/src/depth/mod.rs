//! Depth rules: whether, and for which tokens, a block runs.

mod always;
mod layer_drop;
mod mixture_of_depths;
mod top_k;

pub use always::Always;
pub use layer_drop::{LayerDrop, LayerDropConfig};
pub use mixture_of_depths::{MixtureOfDepths, MixtureOfDepthsConfig, RouterGate};

use crate::{context::Context, junction::SublayerFn};
use burn::tensor::Tensor;

/// What depth rules do.
pub trait DepthRule {
    /// Runs `block`, residual included, `[B, T, M] → [B, T, M]`.
    fn forward(&self, x: Tensor<3>, cx: &mut Context, block: SublayerFn) -> Tensor<3>;
}

crate::variants! {
    /// Depth rule: which tokens a block runs for.
    Depth, DepthConfig: dyn DepthRule {
        /// All tokens.
        "always" => Always(Always),
        /// LayerDrop: the block is skipped at random in training (1909.11556).
        "layer_drop" => LayerDrop(LayerDrop),
        /// Mixture of depths: a router selects the tokens (2404.02258).
        "mixture_of_depths" => MixtureOfDepths(MixtureOfDepths),
    }
}

impl Default for DepthConfig {
    fn default() -> Self {
        Self::Always(kiln_spec::config::NoOptions {})
    }
}
