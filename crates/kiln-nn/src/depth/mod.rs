//! Depth rules: whether a block runs, and for which tokens.
//!
//! | rule | training | inference | parameters | paper |
//! |---|---|---|---|---|
//! | always | all tokens | all tokens | | |
//! | layer drop | all tokens, or none with probability `rate` | all tokens | | 1909.11556 |
//! | mixture of depths | tokens of each row with the greatest router outputs | tokens selected by a predictor | `router`, `predictor` | 2404.02258 |
//!
//! A rule wraps a whole block, residual connections included, so a token for which the block doesn't run passes unchanged.
//! Its parameters are under `blocks.N.depth`.
//!
//! To add one: a file here and its list line below. The file implements [`DepthRule`], its options [`DepthNeeds`].

mod always;
mod layer_drop;
mod mixture_of_depths;
mod top_k;

pub use always::Always;
pub use layer_drop::{LayerDrop, LayerDropConfig};
pub use mixture_of_depths::{MixtureOfDepths, MixtureOfDepthsConfig, RouterGate};

use crate::{context::Context, junction::SublayerFn};
use burn::tensor::Tensor;

/// Depth rule of a block.
pub trait DepthRule {
    /// Runs `block` (residual connections included) on `x [B, T, M]` under the rule and returns `[B, T, M]`.
    fn forward(&self, x: Tensor<3>, cx: &mut Context, block: SublayerFn) -> Tensor<3>;
}

/// Tokens of a call that a block runs for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenCoverage {
    /// All tokens, in every call.
    All,
    /// All tokens or none, as the call decides.
    AllOrNone,
    /// Some of the tokens.
    Some,
}

/// What the options of a depth rule tell the model.
pub trait DepthNeeds {
    /// Returns the tokens that the block runs for. Blocks with other rules than [`TokenCoverage::All`] publish no keys and values
    /// for later blocks.
    fn token_coverage(&self) -> TokenCoverage;
}

crate::variants! {
    /// Whether the block is skipped for some tokens or steps (LayerDrop, mixture of depths).
    Depth, DepthConfig: dyn DepthRule, config: dyn DepthNeeds {
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
