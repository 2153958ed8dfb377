//! Parts of a sublayer: token mixers and feed-forward networks.
//!
//! | part | kind | cost of T tokens | state per sequence | paper |
//! |---|---|---|---|---|
//! | [`attention`] | mixer | T² or T · window | keys and values | 1706.03762 |
//! | [`gated_linear_attention`] | mixer | T | H D E | 2312.06635 |
//! | [`mamba2`] | mixer | T | H D E, and W − 1 inputs of its convolutions | 2405.21060 |
//! | [`gated_delta_net`] | mixer | T | as Mamba-2 | 2412.06464 |
//! | [`gated_convolution`] | mixer | T | W − 1 inputs of its convolution | 2511.23404 |
//! | [`feed_forward::mlp`] | feed-forward | T | | 1706.03762 |
//! | [`feed_forward::gated_mlp`] | feed-forward | T | | 2002.05202 |
//! | [`experts`] | feed-forward | T · experts per token | | 1701.06538, 2101.03961 |
//!
//! A sublayer has one part, or several in parallel whose outputs are added. Parameters are under the part's role:
//! `blocks.0.attention.q.weight`, `blocks.0.feed_forward.up.weight`.
//!
//! Recurrent mixers share [`recurrence`] (state between calls, resets at document borders) and [`short_convolution`].
//!
//! To add a part: a file here, its `mod` line and its list line below.

pub mod attention;
pub mod experts;
pub mod feed_forward {
    //! Feed-forward networks: each token on its own, `[B, T, M] → [B, T, M]`.

    pub mod activation;
    pub mod clamped_swiglu;
    pub mod gated_mlp;
    pub mod mlp;
}
pub mod gated_convolution;
pub mod gated_delta_net;
pub mod gated_linear_attention;
pub mod mamba2;
pub mod recurrence;
pub mod short_convolution;

use crate::{context::Context, variant::Cost};
use burn::tensor::Tensor;
use kiln_kernels::planner::KernelPlan;
use kiln_spec::Pattern;

/// Interface that every part implements.
pub trait Layer {
    /// Forward pass, `[B, T, M] → [B, T, M]`, without the residual connection.
    fn forward(&self, x: Tensor<3>, cx: &mut Context) -> Tensor<3>;

    /// Returns the cost per token in a sequence of `length` tokens.
    fn cost(&self, length: usize) -> Cost;

    /// Returns the attention pattern over the part's own tokens, if it has one.
    fn pattern(&self) -> Option<&Pattern> {
        None
    }

    /// Returns the kernel that this part would use, and why. `None` if the part has only one. `needs_gradients` is true for
    /// training, false for decoding.
    fn plan(&self, _needs_gradients: bool) -> Option<KernelPlan> {
        None
    }

    /// Returns a one-line summary for listings: `4 heads of 16, 2 kv, window 64`.
    fn describe(&self) -> String;
}

crate::variants! {
    /// Part of a sublayer: attention, linear attention, MLP, or mixture of experts.
    Part, PartConfig: dyn Layer {
        /// Attention (1706.03762).
        "attention" => Attention(attention::Attention),
        /// Gated linear attention (GLA, 2312.06635): a recurrent state with learned decay.
        "gla" => Gla(gated_linear_attention::GatedLinearAttention),
        /// Mamba-2 (2405.21060): a selective state-space model with a short convolution and a gated norm.
        "mamba2" => Mamba2(mamba2::Mamba2),
        /// Gated DeltaNet (2412.06464): a recurrent state with a learned decay and the delta rule.
        "gated_delta_net" => GatedDeltaNet(gated_delta_net::GatedDeltaNet),
        /// Gated short convolution (LFM2, 2511.23404): a causal convolution over a few tokens between two gates.
        "gated_convolution" => GatedConvolution(gated_convolution::GatedConvolution),
        /// Feed-forward network (MLP) of two matrices (1706.03762).
        "mlp" => Mlp(feed_forward::mlp::Mlp),
        /// Gated feed-forward network (GLU, SwiGLU; 2002.05202).
        "gated_mlp" => GatedMlp(feed_forward::gated_mlp::GatedMlp),
        /// Mixture of experts (MoE): a router selects feed-forward networks for each token (1701.06538, 2101.03961).
        "experts" => Experts(experts::MixtureOfExperts),
    }
}
