//! Attention composed of Burn's operations: the oracle of the other kernels, differentiable on every backend and float type.
//!
//! Forms the scores `[B, H, T, S]` and about three more tensors of that size under autodiff. Formulas in the
//! [module](super).

use super::{AttentionCall, AttentionOutput, DenseMask, WeightsHook, bias::BiasInputs};
use burn::tensor::Tensor;

/// Longest sequence, in tokens, for score functions and biases that only this kernel computes: beyond, the scores of one head
/// alone take more than 256 MiB.
pub const MAX_LENGTH: usize = 8192;

/// Score of a hidden key. Finite, so that a query that sees no key gives no NaN (all its weights are equal, and its output
/// is then set to 0); far below any real score, so that exp gives 0 if another key is visible.
pub const MASKED_SCORE: f64 = -1e30;

/// Attention of [`AttentionCall`], with the hook called on the weights before dropout.
pub fn attend(call: AttentionCall, hook: Option<WeightsHook>) -> AttentionOutput {
    let scores = masked_scores(&call);
    let dense = call.block_mask.dense();
    let log_sum_exp = call.needs_log_sum_exp.then(|| log_sum_exp(scores.clone(), dense));
    let mut weights = call.score.weights(scores, dense);
    if let Some(hook) = hook {
        weights = hook(weights);
    }
    if let Some(dropout) = &call.dropout {
        weights = dropout.apply(weights);
    }
    let mut out = grouped_matmul(weights, call.value);
    if let Some(has_visible_key) = &dense.has_visible_key {
        out = out.clone() * has_visible_key.clone().cast(out.dtype());
    }
    AttentionOutput { out, log_sum_exp }
}

/// Scores `[B, H, T, S]`: scaled products plus bias, transformed, hidden keys at [`MASKED_SCORE`].
fn masked_scores(call: &AttentionCall) -> Tensor<4> {
    let scores = grouped_matmul(call.query.clone() * call.scale, call.key.clone().swap_dims(2, 3));
    let scores = match &call.bias {
        Some(bias) => {
            let inputs = BiasInputs { query: &call.query, scores: &scores, block_mask: &call.block_mask };
            let bias = bias.dense(inputs).cast(scores.dtype());
            scores + bias
        }
        None => scores,
    };
    let scores = call.score.transform(scores);
    let mask = call.block_mask.dense().mask.clone().expand(scores.dims());
    scores.mask_fill(mask, MASKED_SCORE)
}

/// `[B, H, T, X] · [B, G, X, Y] → [B, H, T, Y]`. The H / G heads of a group are stacked as rows of one product, so keys and
/// values are never repeated.
fn grouped_matmul(rows: Tensor<4>, columns: Tensor<4>) -> Tensor<4> {
    let [b, h, t, x] = rows.dims();
    let [_, g, _, y] = columns.dims();
    if g == h {
        return rows.matmul(columns);
    }
    rows.reshape([b, g, h / g * t, x]).matmul(columns).reshape([b, h, t, y])
}

/// log Σ exp of the scores over the keys, `[B, H, T, S] → [B, H, T]`, shifted by the maximum; −∞ without a visible key.
fn log_sum_exp(scores: Tensor<4>, dense: &DenseMask) -> Tensor<3> {
    let max = scores.clone().max_dim(3);
    let sum = (scores - max.clone()).exp().sum_dim(3).log() + max;
    let sum = match &dense.has_visible_key {
        Some(visible) => sum.clone().mask_fill(visible.clone().equal_elem(0).expand(sum.dims()), f64::NEG_INFINITY),
        None => sum,
    };
    sum.squeeze_dim::<3>(3)
}
