//! What joins a sublayer to the residual stream.
//!
//! A junction's parameters are named after the first part it joins, under `<role>_norm`, norm or not: with one norm
//! `attention_norm.weight`, with two `attention_norm.before.weight` and `.after.weight`, α `attention_norm.scale`.

mod post;
mod pre;
mod rezero;
mod sandwich;

pub use post::Post;
pub use pre::Pre;
pub use rezero::{ReZero, ReZeroConfig};
pub use sandwich::Sandwich;

use crate::{cx::Cx, norm::NormConfig};
use burn::tensor::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A sublayer's work, `[B, T, M] → [B, T, M]`, without the residual.
pub type Inner<'a> = &'a mut dyn FnMut(Tensor<3>, &mut Cx) -> Tensor<3>;

/// What junctions do.
pub trait Join {
    /// Runs `inner` within the residual stream, `[B, T, M] → [B, T, M]`.
    fn around(&self, x: Tensor<3>, cx: &mut Cx, inner: Inner) -> Tensor<3>;
}

/// Options of a junction whose norms are of one kind.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Default)]
#[serde(default, deny_unknown_fields)]
pub struct NormedConfig {
    /// The norm.
    pub norm: NormConfig,
}

crate::variants! {
    /// What joins a sublayer to the residual stream.
    Junction, JunctionConfig: dyn Join {
        /// x + f(norm(x)) (2002.04745).
        "pre" => Pre(Pre),
        /// norm(x + f(x)) (1706.03762).
        "post" => Post(Post),
        /// x + norm(f(norm(x))) (2105.13290, 2408.00118).
        "sandwich" => Sandwich(Sandwich),
        /// x + α f(x), α = 0 at the start (2003.04887).
        "rezero" => ReZero(ReZero),
    }
}

impl Default for JunctionConfig {
    fn default() -> Self {
        Self::Pre(NormedConfig::default())
    }
}
