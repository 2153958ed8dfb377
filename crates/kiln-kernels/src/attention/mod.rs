//! Attention: one contract, several kernels.
//!
//! B batch, H query heads, G key-value heads (H is a multiple of G), T queries, S keys, D width of a key,
//! E width of a value.

pub mod bias;
pub mod block_mask;
pub mod burn_attention;
pub mod fused;
pub mod reference;
pub mod score;

pub use bias::{BiasKind, DistanceBias};
pub use block_mask::{BlockMask, DenseMask};
pub use score::{Score, Sigmoid, Softmax};

use crate::planner::Kernel;
use burn::tensor::Tensor;

/// What a layer asks of a kernel.
#[derive(Clone, Debug)]
pub struct AttentionCall {
    /// `[B, H, T, D]`.
    pub query: Tensor<4>,
    /// `[B, G, S, D]`.
    pub key: Tensor<4>,
    /// `[B, G, S, E]`.
    pub value: Tensor<4>,
    /// Who sees whom.
    pub block_mask: BlockMask,
    /// Added to the scores, by distance.
    pub bias: Option<DistanceBias>,
    /// The query is multiplied by it: usually 1/√D.
    pub scale: f64,
    /// How looks become weights. Its sink is the layer's to add, by the log-sum-exp.
    pub score: Score,
    /// Dropout's factors for the weights, `[B, H, T, S]`: 0 or 1/(1−rate).
    pub dropout: Option<Tensor<4>>,
    /// Whether the log-sum-exp is wanted.
    pub needs_log_sum_exp: bool,
}

/// What a kernel returns.
#[derive(Clone, Debug)]
pub struct AttentionOutput {
    /// `[B, H, T, E]`; 0 for a query that sees nothing.
    pub out: Tensor<4>,
    /// `[B, H, T]`: log Σ exp(s) over the visible keys, by which outputs over parts of the keys are merged.
    /// Only from kernels that can give it.
    pub log_sum_exp: Option<Tensor<3>>,
}

/// Somebody who looks at the weights `[B, H, T, S]` and may change them.
pub type WeightsHook<'a> = &'a mut dyn FnMut(Tensor<4>) -> Tensor<4>;

/// Runs the planned kernel. Kernels that never form the weights do not call the listener; the planner does not
/// choose them when somebody listens.
pub fn attend(kernel: Kernel, mut call: AttentionCall, listener: Option<WeightsHook>) -> AttentionOutput {
    call.scale /= call.score.temperature();
    match kernel {
        Kernel::Reference => reference::attend(call, listener),
        Kernel::Builtin => burn_attention::attend(call),
        Kernel::Fused => fused::attend(call),
    }
}
