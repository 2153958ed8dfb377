//! The parts of a sublayer: mixers, which move information between tokens, and feed-forwards, which do not.
//!
//! To add one: a file here, its `mod` line and its list line below.

pub mod attention;
pub mod experts;
pub mod feed_forward {
    //! Parts that work on each token alone.
    pub mod activation;
    pub mod gated_mlp;
    pub mod mlp;
}
pub mod gated_linear_attention;

use crate::{context::Context, variant::Cost};
use burn::tensor::Tensor;
use kiln_kernels::planner::KernelPlan;
use kiln_spec::Pattern;

/// What parts do.
pub trait Layer {
    /// `[B, T, M] → [B, T, M]`, without the residual.
    fn forward(&self, x: Tensor<3>, cx: &mut Context) -> Tensor<3>;

    /// What it costs in sequences of `length` tokens.
    fn cost(&self, length: usize) -> Cost;

    /// Its geometry, if it has one.
    fn pattern(&self) -> Option<&Pattern> {
        None
    }

    /// The kernel that would compute it, and why.
    fn plan(&self, _gradients: bool) -> Option<KernelPlan> {
        None
    }

    /// One line for people: `4 heads, 2 kv, window 64`.
    fn describe(&self) -> String;
}

crate::variants! {
    /// Part of a sublayer: attention, linear attention, MLP, or mixture of experts.
    Part, PartConfig: dyn Layer {
        /// Attention (1706.03762).
        "attention" => Attention(attention::Attention),
        /// Gated linear attention (GLA, 2312.06635): a recurrent state with learned decay.
        "gla" => Gla(gated_linear_attention::GatedLinearAttention),
        /// Feed-forward network (MLP) of two matrices (1706.03762).
        "mlp" => Mlp(feed_forward::mlp::Mlp),
        /// Gated feed-forward network (GLU, SwiGLU; 2002.05202).
        "gated_mlp" => GatedMlp(feed_forward::gated_mlp::GatedMlp),
        /// Mixture of experts (MoE): a router selects feed-forward networks for each token (1701.06538, 2101.03961).
        "experts" => Experts(experts::MixtureOfExperts),
    }
}
