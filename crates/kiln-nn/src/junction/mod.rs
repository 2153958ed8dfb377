//! Junctions: the residual connection of a sublayer and the placement of its norms.
//!
//! With f the sublayer:
//!
//! | junction | output | parameters | paper |
//! |---|---|---|---|
//! | pre-norm | x + f(norm(x)) | `weight` | 2002.04745 |
//! | post-norm | norm(x + f(x)) | `weight` | 1706.03762 |
//! | sandwich | x + norm(f(norm(x))) | `before.weight`, `after.weight` | 2105.13290, 2408.00118 |
//! | ReZero | x + α f(x) | `scale` | 2003.04887 |
//!
//! The parameters are under `<role>_norm`, named after the sublayer's first part, even without a norm:
//! `blocks.0.attention_norm.weight`. Names of the norm's parameters are those of the norm.

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

/// Forward function of a sublayer, `[B, T, M] → [B, T, M]`, without the residual connection; of a block, with it.
pub type SublayerFn<'a> = &'a mut dyn FnMut(Tensor<3>, &mut Context) -> Tensor<3>;

/// Junction: residual connection and norms of a sublayer.
pub trait NormPlacement {
    /// Runs `sublayer` on the residual stream `x [B, T, M]` and returns the new stream.
    fn forward(&self, x: Tensor<3>, cx: &mut Context, sublayer: SublayerFn) -> Tensor<3>;
}

/// Options of [`PreNorm`], [`PostNorm`] and [`SandwichNorm`].
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
