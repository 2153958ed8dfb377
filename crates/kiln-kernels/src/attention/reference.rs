//! Attention as the equation says, from Burn's own operations: the oracle of every other kernel, and differentiable
//! on every backend. It forms the scores `[B, H, T, S]`.

use super::{AttentionCall, AttentionOutput, DenseMask, Score, WeightsHook};
use burn::tensor::{
    DType, Tensor,
    activation::{sigmoid, softmax},
};

/// Finite, so that a query that sees nothing gives no NaN; far below any score.
const MASKED_SCORE: f64 = -1e30;

/// softmax(scale · q kᵀ + bias, bent, masked) v, and the log-sum-exp (1706.03762, eq. 1); or a sigmoid instead of the
/// softmax (2409.04431, eq. 3).
pub fn attend(call: AttentionCall, listener: Option<WeightsHook>) -> AttentionOutput {
    let scores = masked_scores(&call);
    let dense = call.block_mask.dense();
    let log_sum = call.needs_log_sum_exp.then(|| log_sum_exp(scores.clone(), dense));
    let mut weights = match &call.score {
        Score::Softmax(_) => softmax(scores, 3),
        Score::Sigmoid(score) => sigmoid(scores + sigmoid_bias(score.bias, dense, call.query.dtype())),
    };
    if let Some(listener) = listener {
        weights = listener(weights);
    }
    if let Some(factors) = call.dropout {
        weights = weights.clone() * factors.cast(weights.dtype());
    }
    let mut out = grouped_matmul(weights, call.value);
    if let Some(sighted) = &dense.has_visible_key {
        out = out.clone() * sighted.clone().cast(out.dtype());
    }
    AttentionOutput { out, log_sum_exp: log_sum }
}

/// What a sigmoid's scores are shifted by, `[B, 1, T, 1]` or `[1, 1, 1, 1]`.
fn sigmoid_bias(bias: Option<f64>, dense: &DenseMask, dtype: DType) -> Tensor<4> {
    match bias {
        Some(bias) => Tensor::full([1, 1, 1, 1], bias, (&dense.mask.device(), dtype)),
        None => {
            let seen = dense.mask.clone().int().sum_dim(3).neg().add_scalar(dense.mask.dims()[3] as i32);
            -seen.clamp_min(1).float().cast(dtype).log()
        }
    }
}

/// Masked scores `[B, H, T, S]`.
fn masked_scores(call: &AttentionCall) -> Tensor<4> {
    let scores = grouped_matmul(call.query.clone() * call.scale, call.key.clone().swap_dims(2, 3));
    let scores = match &call.bias {
        Some(bias) => scores.clone() + bias.to_dense(&call.block_mask).cast(scores.dtype()),
        None => scores,
    };
    let bent = match call.score.softcap() {
        // Not `/ cap`: Burn's gradient of a division by a number is no better than f32.
        Some(cap) => (scores * (1.0 / cap)).tanh() * cap,
        None => scores,
    };
    let mask = call.block_mask.dense().mask.clone().expand(bent.dims());
    bent.mask_fill(mask, MASKED_SCORE)
}

/// `[B, H, T, X] · [B, G, X, Y] → [B, H, T, Y]`: the heads of a group are rows of one product, so that keys and
/// values are never repeated.
fn grouped_matmul(rows: Tensor<4>, columns: Tensor<4>) -> Tensor<4> {
    let [b, h, t, x] = rows.dims();
    let [_, g, _, y] = columns.dims();
    if g == h {
        return rows.matmul(columns);
    }
    rows.reshape([b, g, h / g * t, x]).matmul(columns).reshape([b, h, t, y])
}

fn log_sum_exp(scores: Tensor<4>, dense: &DenseMask) -> Tensor<3> {
    let most = scores.clone().max_dim(3);
    let sum = (scores - most.clone()).exp().sum_dim(3).log() + most;
    let sum = match &dense.has_visible_key {
        Some(sighted) => sum.clone().mask_fill(sighted.clone().equal_elem(0).expand(sum.dims()), f64::NEG_INFINITY),
        None => sum,
    };
    sum.squeeze_dim::<3>(3)
}
