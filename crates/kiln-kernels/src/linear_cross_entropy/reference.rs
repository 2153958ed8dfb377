//! Cross-entropy of a head composed of Burn's operations: the oracle, on every backend and float type.
//!
//! Under autodiff the logits are kept for the backward pass, `[N, V]` and more. Without it they are formed for as many
//! positions at once as [`CHUNK_VALUES`] allow.

use super::{CHUNK_VALUES, LinearCrossEntropyCall};
use crate::cross_entropy::reference::cross_entropy;
use burn::tensor::{Int, Tensor};

/// −log softmax(logits)\[target\]: `targets [N] → [N]`, in nats.
pub fn linear_cross_entropy(call: LinearCrossEntropyCall, targets: Tensor<1, Int>) -> Tensor<1> {
    let (positions, rows) = (call.hidden.dims()[0], (CHUNK_VALUES / call.matrix.vocab().max(1)).max(1));
    if call.hidden.is_autodiff() || positions <= rows {
        return cross_entropy(call.logits(), targets);
    }
    let chunks = (0..positions).step_by(rows).map(|first| {
        let range = first..positions.min(first + rows);
        let hidden = call.hidden.clone().slice([range.clone()]);
        cross_entropy(LinearCrossEntropyCall { hidden, ..call.clone() }.logits(), targets.clone().slice([range]))
    });
    Tensor::cat(chunks.collect(), 0)
}
