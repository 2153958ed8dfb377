//! Attention: one contract, several kernels.
//!
//! B batch, H query heads, G key-value heads (H is a multiple of G), T queries, S keys, D width of a key,
//! E width of a value.

pub mod bias;
pub mod builtin;
pub mod fused;
pub mod reference;
pub mod score;
pub mod sight;

pub use bias::{Bias, Distance};
pub use score::{Score, Sigmoid, Softmax};
pub use sight::{Dense, Sight};

use crate::planner::Kernel;
use burn::tensor::Tensor;

/// What a layer asks of a kernel.
#[derive(Clone, Debug)]
pub struct Call {
    /// `[B, H, T, D]`.
    pub query: Tensor<4>,
    /// `[B, G, S, D]`.
    pub key: Tensor<4>,
    /// `[B, G, S, E]`.
    pub value: Tensor<4>,
    /// Who sees whom.
    pub sight: Sight,
    /// Added to the scores, by distance.
    pub bias: Option<Bias>,
    /// The query is multiplied by it: usually 1/√D.
    pub scale: f64,
    /// How looks become weights. Its sink is the layer's to add, by the log-sum-exp.
    pub score: Score,
    /// Dropout's factors for the weights, `[B, H, T, S]`: 0 or 1/(1−rate).
    pub dropout: Option<Tensor<4>>,
    /// Whether the log-sum-exp is wanted.
    pub log_sum: bool,
}

/// What a kernel returns.
#[derive(Clone, Debug)]
pub struct Output {
    /// `[B, H, T, E]`; 0 for a query that sees nothing.
    pub out: Tensor<4>,
    /// `[B, H, T]`: log Σ exp(s) over the visible keys, by which outputs over parts of the keys are merged.
    /// Only from kernels that can give it.
    pub log_sum: Option<Tensor<3>>,
}

/// Somebody who looks at the weights `[B, H, T, S]` and may change them.
pub type Listener<'a> = &'a mut dyn FnMut(Tensor<4>) -> Tensor<4>;

/// Runs the planned kernel. Kernels that never form the weights do not call the listener; the planner does not
/// choose them when somebody listens.
pub fn attend(kernel: Kernel, mut call: Call, listener: Option<Listener>) -> Output {
    call.scale /= call.score.temperature();
    match kernel {
        Kernel::Reference => reference::attend(call, listener),
        Kernel::Builtin => builtin::attend(call),
        Kernel::Fused => fused::attend(call),
    }
}
