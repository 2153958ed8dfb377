//! Junctions: the placement of a sublayer's norms around its residual connection.
//!
//! With f the sublayer and one residual stream ([`crate::streams`] has others):
//!
//! | junction | output | parameters | paper |
//! |---|---|---|---|
//! | pre-norm | x + f(norm(x)) | `weight` | 2002.04745 |
//! | post-norm | norm(x + f(x)) | `weight` | 1706.03762 |
//! | sandwich | x + norm(f(norm(x))) | `before.weight`, `after.weight` | 2105.13290, 2408.00118 |
//! | res-post-norm | x + norm(f(x)) | `weight` | 2111.09883, 2501.00656 |
//! | ReZero | x + α f(x) | `scale` | 2003.04887 |
//!
//! Each junction with norms has a `residual_multiplier` m, 1 by default: m · f replaces f, the sandwich's second norm and that
//! of res-post-norm included (Granite, MiniCPM).
//!
//! The parameters are under `<role>_norm`, named after the sublayer's first part, even without a norm:
//! `blocks.0.attention_norm.weight`. Names of the norm's parameters are those of the norm.

mod post_norm;
mod pre_norm;
mod res_post_norm;
mod rezero;
mod sandwich_norm;

pub use post_norm::PostNorm;
pub use pre_norm::PreNorm;
pub use res_post_norm::ResPostNorm;
pub use rezero::{ReZero, ReZeroConfig};
pub use sandwich_norm::SandwichNorm;

use crate::{
    context::Context,
    norm::NormConfig,
    variant::{BuildContext, check_factor, is_one},
};
use burn::tensor::Tensor;
use kiln_spec::ValidationError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Forward function of a sublayer, `[B, T, M] → [B, T, M]`, without the residual connection; of a block, with it.
pub type SublayerFn<'a> = &'a mut dyn FnMut(Tensor<3>, &mut Context) -> Tensor<3>;

/// Junction: norms of a sublayer, within its residual branch or after it.
pub trait NormPlacement {
    /// Runs `sublayer` with the norms before and after it, `[B, T, M] → [B, T, M]`: what is added to the residual stream.
    fn branch(&self, x: Tensor<3>, cx: &mut Context, sublayer: SublayerFn) -> Tensor<3>;

    /// The residual stream after the addition, `[B, T, M] → [B, T, M]`.
    fn after(&self, x: Tensor<3>) -> Tensor<3> {
        x
    }

    /// Runs `sublayer` on a single residual stream `x [B, T, M]` and returns the new stream.
    fn forward(&self, x: Tensor<3>, cx: &mut Context, sublayer: SublayerFn) -> Tensor<3> {
        self.after(x.clone() + self.branch(x, cx, sublayer))
    }
}

/// Options of [`PreNorm`], [`PostNorm`], [`SandwichNorm`] and [`ResPostNorm`].
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct NormPlacementConfig {
    /// The norm.
    pub norm: NormConfig,
    /// Factor of what the sublayer adds to the residual stream (Granite).
    #[serde(skip_serializing_if = "is_one")]
    pub residual_multiplier: f64,
}

impl Default for NormPlacementConfig {
    fn default() -> Self {
        Self::new(NormConfig::default())
    }
}

impl NormPlacementConfig {
    /// This norm, and a residual multiplier of 1.
    pub fn new(norm: NormConfig) -> Self {
        Self { norm, residual_multiplier: 1.0 }
    }

    /// Checks norm and multiplier at `path`.
    fn check(&self, build: &BuildContext, path: &str) -> Result<(), ValidationError> {
        check_factor(self.residual_multiplier, format!("{path}.residual_multiplier"))?;
        self.norm.check(build, &format!("{path}.norm"))
    }
}

/// multiplier · branch. A multiplier of 1 adds no operation.
fn scale_branch(branch: Tensor<3>, multiplier: f64) -> Tensor<3> {
    if multiplier == 1.0 { branch } else { branch * multiplier }
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
        /// Res-post-norm: x + norm(f(x)) (2111.09883, 2501.00656).
        "res_post" => ResPost(ResPostNorm),
        /// ReZero: x + α f(x), with α = 0 at initialization (2003.04887).
        "rezero" => ReZero(ReZero),
    }
}

impl Default for JunctionConfig {
    fn default() -> Self {
        Self::Pre(NormPlacementConfig::default())
    }
}

impl JunctionConfig {
    /// Returns the norm of the junction; `None` for ReZero.
    pub fn norm(&self) -> Option<&NormConfig> {
        match self {
            Self::Pre(placement) | Self::Post(placement) | Self::Sandwich(placement) | Self::ResPost(placement) => {
                Some(&placement.norm)
            }
            Self::ReZero(_) => None,
        }
    }

    /// Returns the norm of the junction, to change it; `None` for ReZero.
    pub fn norm_mut(&mut self) -> Option<&mut NormConfig> {
        match self {
            Self::Pre(placement) | Self::Post(placement) | Self::Sandwich(placement) | Self::ResPost(placement) => {
                Some(&mut placement.norm)
            }
            Self::ReZero(_) => None,
        }
    }
}
