//! Router of a mixture of experts: probabilities, top-k selection, weights and auxiliary losses.
//!
//! Shapes: N tokens, E experts, k experts per token.

use crate::autograd_order::stop_gradient;
use burn::tensor::{Int, Tensor, activation::softmax};

/// Softmax of the router's logits over the experts, `[N, E] → [N, E]`.
pub fn router_probabilities(logits: Tensor<2>) -> Tensor<2> {
    softmax(logits, 1)
}

/// Returns the k experts of each token with the greatest probabilities, the greatest first, `[N, E] → [N, k]`.
///
/// Ties go to the expert with the lower number, so the selection is the same on every backend. k passes over the experts; no
/// gradient.
pub fn select_top_k(p: Tensor<2>, k: usize) -> Tensor<2, Int> {
    let [n, e] = p.dims();
    let experts = Tensor::<1, Int>::arange(0..e as i64, &p.device()).reshape([1, e]).expand([n, e]);
    let mut remaining = stop_gradient(p);
    let mut selected = Vec::with_capacity(k);
    for _ in 0..k {
        let best = remaining.clone().max_dim(1).expand([n, e]);
        let first = experts.clone().mask_fill(remaining.clone().lower(best), e as i32 - 1).min_dim(1);
        remaining = remaining.mask_fill(experts.clone().equal(first.clone().expand([n, e])), f32::NEG_INFINITY);
        selected.push(first);
    }
    Tensor::cat(selected, 1)
}

/// Returns 1 for each selected expert, otherwise 0: `selected [N, k] → [N, E]`, E and float type those of `like`.
pub fn multi_hot(selected: &Tensor<2, Int>, like: &Tensor<2>) -> Tensor<2> {
    let ([n, k], [_, e]) = (selected.dims(), like.dims());
    let experts = Tensor::<1, Int>::arange(0..e as i64, &selected.device()).reshape([1, 1, e]).expand([n, k, e]);
    let is_selected = experts.equal(selected.clone().unsqueeze_dim::<3>(2).expand([n, k, e]));
    is_selected.int().sum_dim(1).squeeze_dim::<2>(1).float().cast(like.dtype())
}

/// Returns the weight of each expert's output, `[N, E]`: w_e = p_e for a selected expert and 0 for the others. With `normalize`,
/// the weights are then divided by their sum.
pub fn expert_weights(p: Tensor<2>, selected: Tensor<2>, normalize: bool) -> Tensor<2> {
    let weights = p * selected;
    if normalize { weights.clone() / weights.sum_dim(1) } else { weights }
}

/// Mean over the live tokens, `live [1, N]` of 0 and 1: `[N, X] → [1, X]`. 0 without live tokens.
fn live_mean(live: &Tensor<2>, values: Tensor<2>) -> Tensor<2> {
    let count = live.clone().sum_dim(1).clamp_min(1.0);
    live.clone().matmul(values) / count
}

/// Load-balancing loss E Σ_e f_e P_e (2101.03961, eq. 4–6), `[1]`.
///
/// f_e is the share of selections that go to expert e, P_e its mean probability over the live tokens. 1 if both are uniform,
/// greater otherwise. f has no gradient.
pub fn load_balancing_loss(p: Tensor<2>, selected: Tensor<2>, live: &Tensor<2>, k: usize) -> Tensor<1> {
    let e = p.dims()[1];
    let share = live_mean(live, selected);
    let probability = live_mean(live, p);
    (share * probability).sum() * (e as f64 / k as f64)
}

/// Router z-loss: the mean of (log Σ_e exp(logit_e))² over the live tokens (2202.08906, eq. 5), `[1]`. It keeps the logits small,
/// where 16-bit floats are exact enough.
pub fn z_loss(logits: Tensor<2>, live: &Tensor<2>) -> Tensor<1> {
    let max = stop_gradient(logits.clone()).max_dim(1);
    let log_sum = (logits - max.clone()).exp().sum_dim(1).log() + max;
    live_mean(live, log_sum.square()).reshape([1])
}
