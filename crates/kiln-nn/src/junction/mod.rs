//! What joins a sublayer to the residual stream.
//!
//! A junction's parameters are named after the first part it joins, under `<role>_norm`, norm or not: with one norm
//! `attention_norm.weight`, with two `attention_norm.before.weight` and `.after.weight`, α `attention_norm.scale`.

mod post_norm;
mod pre_norm;
mod rezero;
mod sandwich_norm;

pub use post_norm::PostNorm;
pub use pre_norm::PreNorm;
pub use rezero::{ReZero, ReZeroConfig};
pub use sandwich_norm::SandwichNorm;

use crate::{context::Context, norm::NormConfig};
use burn::tensor::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A sublayer's work, `[B, T, M] → [B, T, M]`, without the residual.
pub type SublayerFn<'a> = &'a mut dyn FnMut(Tensor<3>, &mut Context) -> Tensor<3>;

/// What junctions do.
pub trait NormPlacement {
    /// Runs `inner` within the residual stream, `[B, T, M] → [B, T, M]`.
    fn forward(&self, x: Tensor<3>, cx: &mut Context, inner: SublayerFn) -> Tensor<3>;
}

/// Options of a junction whose norms are of one kind.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Default)]
#[serde(default, deny_unknown_fields)]
pub struct NormPlacementConfig {
    /// The norm.
    pub norm: NormConfig,
}

crate::variants! {
    /// Residual connection and norm placement.
    Junction, JunctionConfig: dyn NormPlacement {
        /// Pre-norm: x + f(norm(x)) (2002.04745).
        "pre" => Pre(PreNorm),
        /// Post-norm: norm(x + f(x)) (1706.03762).
        "post" => Post(PostNorm),
        /// Sandwich norm: x + norm(f(norm(x))) (2105.13290, 2408.00118).
        "sandwich" => Sandwich(SandwichNorm),
        /// ReZero: x + α f(x), with α = 0 at initialization (2003.04887).
        "rezero" => ReZero(ReZero),
    }
}

impl Default for JunctionConfig {
    fn default() -> Self {
        Self::Pre(NormPlacementConfig::default())
    }
}
