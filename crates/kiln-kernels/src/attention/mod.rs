//! Softmax attention: one contract, several kernels.
//!
//! B batch, H query heads, G key-value heads (H is a multiple of G), T queries, S keys, D width of a key,
//! E width of a value.

pub mod builtin;
pub mod fused;
pub mod reference;

use crate::planner::Kernel;
use burn::tensor::{Bool, Tensor};
use kiln_spec::Card;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

kiln_spec::choice! {
    /// How looks become weights.
    pub enum Score {
        /// exp(s) / Σ exp(s) (1706.03762).
        "softmax" => Softmax(Softmax) with Card::data("1706.03762"),
    }
}

/// Softmax of the scaled scores.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Default)]
#[serde(default, deny_unknown_fields)]
pub struct Softmax {
    /// Scores are bent to ±softcap by `softcap · tanh(s / softcap)` (Gemma 2, 2408.00118). Absent: not bent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub softcap: Option<f64>,
}

impl Default for Score {
    fn default() -> Self {
        Self::Softmax(Softmax::default())
    }
}

impl Score {
    /// The bend of the scores, if any.
    pub fn softcap(&self) -> Option<f64> {
        let Self::Softmax(softmax) = self;
        softmax.softcap
    }
}

/// Who sees whom in one call, on the device. True means hidden: the one place where Kiln's truth
/// (true = visible) is turned into Burn's is where this is made.
#[derive(Clone, Debug)]
pub struct Hidden {
    /// `[B, 1, T, S]`, true where the query must not see the key.
    pub mask: Tensor<4, Bool>,
    /// `[B, 1, T, 1]`, 0 for a query that sees nothing, else 1; absent when every query sees something.
    pub sighted: Option<Tensor<4>>,
    /// Each query sees exactly the keys up to itself, the last query being the last key: kernels that know
    /// "causal" need no mask.
    pub causal: bool,
}

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
    pub hidden: Hidden,
    /// The query is multiplied by it: usually 1/√D.
    pub scale: f64,
    /// How looks become weights.
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
pub fn attend(kernel: Kernel, call: Call, listener: Option<Listener>) -> Output {
    match kernel {
        Kernel::Reference => reference::attend(call, listener),
        Kernel::Builtin => builtin::attend(call),
        Kernel::Fused => fused::attend(call),
    }
}
