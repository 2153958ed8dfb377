//! The parts of a sublayer: mixers, which move information between tokens, and feed-forwards, which do not.
//!
//! To add one: a file here, its `mod` line and its list line below.

pub mod attention;
pub mod experts;
pub mod feed_forward {
    //! Parts that work on each token alone.
    pub mod activation;
    pub mod gated;
    pub mod plain;
}
pub mod linear;

use crate::{cx::Cx, variant::Cost};
use burn::tensor::Tensor;
use kiln_kernels::planner::Plan;
use kiln_spec::Pattern;

/// What parts do.
pub trait Forward {
    /// `[B, T, M] → [B, T, M]`, without the residual.
    fn forward(&self, x: Tensor<3>, cx: &mut Cx) -> Tensor<3>;

    /// What it costs in sequences of `length` tokens.
    fn cost(&self, length: usize) -> Cost;

    /// Its geometry, if it has one.
    fn pattern(&self) -> Option<&Pattern> {
        None
    }

    /// The kernel that would compute it, and why.
    fn plan(&self, _gradients: bool) -> Option<Plan> {
        None
    }

    /// One line for people: `4 heads, 2 kv, window 64`.
    fn describe(&self) -> String;
}

crate::variants! {
    /// A part of a sublayer.
    Part, PartConfig: dyn Forward {
        /// Attention: five choices (1706.03762).
        "attention" => Attention(attention::Attention),
        /// Gated linear attention: a state that decays, instead of a look at all keys (2312.06635).
        "gla" => Gla(linear::Gla),
        /// Feed-forward of two matrices (1706.03762).
        "plain" => Plain(feed_forward::plain::Plain),
        /// Feed-forward with a gate (2002.05202).
        "gated" => Gated(feed_forward::gated::Gated),
        /// Feed-forwards of which a router chooses some for each token (1701.06538, 2101.03961).
        "experts" => Experts(experts::Experts),
    }
}
