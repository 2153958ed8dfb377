//! Attention: one call type for dense keys with four kernels, and a kernel for keys in pages.
//!
//! For each query i and head, over the keys j that the query sees (1706.03762, eq. 1; softcap 2408.00118):
//!
//! * score: s_ij = scale · q_i · k_j + bias_ij with a [`ScoreBias`], transformed by the [`Score`] function: s ← c tanh(s / c)
//!   with a softcap c; −∞ for a hidden key
//! * weight: p_ij = exp(s_ij) / Σ_j exp(s_ij), or another [`Score`]: σ(s_ij + b) for sigmoid attention (2409.04431, eq. 3)
//! * output: o_i = Σ_j p_ij v_j, and the log-sum-exp L_i = log Σ_j exp(s_ij)
//!
//! A query that sees no key has output 0 and L = −∞.
//!
//! Shapes: B batch, H query heads, G key-value heads (H a multiple of G; query head h reads group ⌊h G / H⌋), T queries,
//! S keys, D width of a query and key, E width of a value. Cost: 2 B H T S (D + E) operations for visible keys.
//!
//! | kernel | devices | gradients | memory | supports |
//! |---|---|---|---|---|
//! | [`reference`](mod@reference) | all | yes | B H T S | everything |
//! | [`burn_attention`] | all | no | as Burn | plain softmax |
//! | [`fused`] | CPU, f32 | yes | T S of one head's block | scores and biases that work in a tile, log-sum-exp |
//! | [`exact`] | CPU, f32 | no | 16 S for each thread | scores and biases that work in a tile, log-sum-exp; batch-invariant |
//! | [`paged`] | CPU, f32 | no | 64 scores a head; S a head if not a softmax | scores and biases that work in a tile, for T = 1 and keys in pages of 32 or 16 bits |
//!
//! [`plan_attention`](crate::planner::plan_attention) picks one, [`attend`] runs it. The visible keys come from a
//! [`BlockMask`], which forms a dense mask or a tile plan only when a kernel asks for it.
//!
//! Bounds: the reference in f64 equals PyTorch to 1e-12; the fused kernel equals the reference in f32 to 1e-3 for values and
//! gradients of inputs around 1 with up to 250 keys (`attention_is_its_reference`).

pub mod bias;
pub mod block_mask;
pub mod burn_attention;
pub mod exact;
pub mod fused;
pub mod paged;
pub mod reference;
pub mod score;
mod tile_inputs;

pub use bias::{Buckets, DistanceBias, DistanceFunction, ScoreBias, Slopes};
pub use block_mask::{BlockMask, DenseMask};
pub use score::{Score, Sigmoid, Softmax};

use crate::{dropout::Dropout, planner::Kernel};
use burn::tensor::Tensor;
use std::sync::Arc;

/// Input of an attention kernel.
#[derive(Clone, Debug)]
pub struct AttentionCall {
    /// `[B, H, T, D]`.
    pub query: Tensor<4>,
    /// `[B, G, S, D]`.
    pub key: Tensor<4>,
    /// `[B, G, S, E]`.
    pub value: Tensor<4>,
    /// The keys that each query sees.
    pub block_mask: BlockMask,
    /// Score bias, added to the scaled products before the score function.
    pub bias: Option<Arc<dyn ScoreBias>>,
    /// Factor of the products q · k, usually 1/√D.
    pub scale: f64,
    /// Score function.
    pub score: Arc<dyn Score>,
    /// Dropout of the weights `[B, H, T, S]`. Reference kernel only.
    pub dropout: Option<Dropout>,
    /// Whether the log-sum-exp is returned too.
    pub needs_log_sum_exp: bool,
}

/// Output of an attention kernel.
#[derive(Clone, Debug)]
pub struct AttentionOutput {
    /// Output o, `[B, H, T, E]`; 0 for a query that sees no key.
    pub out: Tensor<4>,
    /// Log-sum-exp L of the scores, `[B, H, T]`, if it was requested: with it outputs over two sets of keys are merged.
    /// −∞ for a query that sees no key.
    pub log_sum_exp: Option<Tensor<3>>,
}

/// Hook on the attention weights `[B, H, T, S]`: receives them and returns those to use.
pub type WeightsHook<'a> = &'a mut dyn FnMut(Tensor<4>) -> Tensor<4>;

/// Attention with the given kernel.
///
/// The score function's temperature is folded into the scale. `hook` is called by the reference kernel only; the planner
/// chooses that kernel if a probe reads the weights.
///
/// # Panics
/// If the kernel doesn't support the call; see [`plan_attention`](crate::planner::plan_attention).
pub fn attend(kernel: Kernel, mut call: AttentionCall, hook: Option<WeightsHook>) -> AttentionOutput {
    call.scale /= call.score.temperature();
    match kernel {
        Kernel::Reference => reference::attend(call, hook),
        Kernel::Builtin => burn_attention::attend(call),
        Kernel::Fused => fused::attend(call),
        Kernel::Exact => exact::attend(call),
        Kernel::Paged => panic!("the paged kernel reads pages, not tensors: call `paged::attend`"),
    }
}
