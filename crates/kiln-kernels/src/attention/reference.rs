//! Attention as the equation says, from Burn's own operations: the oracle of every other kernel, and differentiable
//! on every backend. It forms the scores `[B, H, T, S]`.

use super::{Call, Hidden, Listener, Output};
use burn::tensor::{Tensor, activation::softmax};

/// Finite, so that a query that sees nothing gives no NaN; far below any score.
const NEVER: f64 = -1e30;

/// softmax(scale · q kᵀ, bent, masked) v, and the log-sum-exp (1706.03762, eq. 1).
pub fn attend(call: Call, listener: Option<Listener>) -> Output {
    let scores = scores(&call);
    let log_sum = call.log_sum.then(|| log_sum_exp(scores.clone(), &call.hidden));
    let mut weights = softmax(scores, 3);
    if let Some(listener) = listener {
        weights = listener(weights);
    }
    if let Some(factors) = call.dropout {
        weights = weights.clone() * factors.cast(weights.dtype());
    }
    let mut out = grouped(weights, call.value);
    if let Some(sighted) = call.hidden.sighted {
        out = out.clone() * sighted.cast(out.dtype());
    }
    Output { out, log_sum }
}

/// Masked scores `[B, H, T, S]`.
fn scores(call: &Call) -> Tensor<4> {
    let scores = grouped(call.query.clone() * call.scale, call.key.clone().swap_dims(2, 3));
    let bent = match call.score.softcap() {
        // Not `/ cap`: Burn's gradient of a division by a number is no better than f32.
        Some(cap) => (scores * (1.0 / cap)).tanh() * cap,
        None => scores,
    };
    let mask = call.hidden.mask.clone().expand(bent.dims());
    bent.mask_fill(mask, NEVER)
}

/// `[B, H, T, X] · [B, G, X, Y] → [B, H, T, Y]`: the heads of a group are rows of one product, so that keys and
/// values are never repeated.
fn grouped(rows: Tensor<4>, columns: Tensor<4>) -> Tensor<4> {
    let [b, h, t, x] = rows.dims();
    let [_, g, _, y] = columns.dims();
    if g == h {
        return rows.matmul(columns);
    }
    rows.reshape([b, g, h / g * t, x]).matmul(columns).reshape([b, h, t, y])
}

fn log_sum_exp(scores: Tensor<4>, hidden: &Hidden) -> Tensor<3> {
    let most = scores.clone().max_dim(3);
    let sum = (scores - most.clone()).exp().sum_dim(3).log() + most;
    let sum = match &hidden.sighted {
        Some(sighted) => sum.clone().mask_fill(sighted.clone().equal_elem(0).expand(sum.dims()), f64::NEG_INFINITY),
        None => sum,
    };
    sum.squeeze_dim::<3>(3)
}
