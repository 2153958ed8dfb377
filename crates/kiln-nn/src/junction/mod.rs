//! What joins a sublayer to the residual stream.

mod post;
mod pre;

pub use post::Post;
pub use pre::Pre;

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

/// Options of a junction with one norm.
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
    }
}

impl Default for JunctionConfig {
    fn default() -> Self {
        Self::Pre(NormedConfig::default())
    }
}
