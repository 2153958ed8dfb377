//! What joins a sublayer to the residual stream.

mod post;
mod pre;

pub use post::{Post, PostConfig};
pub use pre::{Pre, PreConfig};

use crate::cx::Cx;
use burn::tensor::Tensor;

/// A sublayer's work, `[B, T, M] → [B, T, M]`, without the residual.
pub type Inner<'a> = &'a mut dyn FnMut(Tensor<3>, &mut Cx) -> Tensor<3>;

/// What junctions do.
pub trait Join {
    /// Runs `inner` within the residual stream, `[B, T, M] → [B, T, M]`.
    fn around(&self, x: Tensor<3>, cx: &mut Cx, inner: Inner) -> Tensor<3>;
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
        Self::Pre(PreConfig::default())
    }
}
