//! Who works on which token, and what keeps the choice even.
//!
//! N tokens, E experts, k of them a token.

use crate::autograd_order::stop_gradient;
use burn::tensor::{Int, Tensor, activation::softmax};

/// Softmax over the experts: `[N, E] → [N, E]`.
pub fn router_probabilities(logits: Tensor<2>) -> Tensor<2> {
    softmax(logits, 1)
}

/// The k greatest of each row, the greatest first; of equal ones that which comes first: `[N, E] → [N, k]`.
pub fn select_top_k(p: Tensor<2>, k: usize) -> Tensor<2, Int> {
    let [n, e] = p.dims();
    let experts = Tensor::<1, Int>::arange(0..e as i64, &p.device()).reshape([1, e]).expand([n, e]);
    let mut left = stop_gradient(p);
    let mut chosen = Vec::with_capacity(k);
    for _ in 0..k {
        let best = left.clone().max_dim(1).expand([n, e]);
        let first = experts.clone().mask_fill(left.clone().lower(best), e as i32 - 1).min_dim(1);
        left = left.mask_fill(experts.clone().equal(first.clone().expand([n, e])), f32::NEG_INFINITY);
        chosen.push(first);
    }
    Tensor::cat(chosen, 1)
}

/// 1 where an expert was chosen: `[N, k] → [N, E]`, in numbers of `like`'s type.
pub fn multi_hot(chosen: &Tensor<2, Int>, like: &Tensor<2>) -> Tensor<2> {
    let ([n, k], [_, e]) = (chosen.dims(), like.dims());
    let experts = Tensor::<1, Int>::arange(0..e as i64, &chosen.device()).reshape([1, 1, e]).expand([n, k, e]);
    let marked = experts.equal(chosen.clone().unsqueeze_dim::<3>(2).expand([n, k, e]));
    marked.int().sum_dim(1).squeeze_dim::<2>(1).float().cast(like.dtype())
}

/// What each expert's output counts, 0 where it was not chosen: its probability, or its share among the chosen.
pub fn expert_weights(p: Tensor<2>, marked: Tensor<2>, normalize: bool) -> Tensor<2> {
    let weights = p * marked;
    if normalize { weights.clone() / weights.sum_dim(1) } else { weights }
}

/// Means over the live tokens, `live [1, N]`: `[N, X] → [1, X]`.
fn live_mean(live: &Tensor<2>, of: Tensor<2>) -> Tensor<2> {
    let count = live.clone().sum_dim(1).clamp_min(1.0);
    live.clone().matmul(of) / count
}

/// E Σ f_e P_e (2101.03961, eq. 4–6): f_e is expert e's share of all choices, P_e its mean probability. 1 when both are
/// even; f is a constant to the gradient.
pub fn load_balancing_loss(p: Tensor<2>, marked: Tensor<2>, live: &Tensor<2>, k: usize) -> Tensor<1> {
    let e = p.dims()[1];
    let (share, probability) = (live_mean(live, marked), live_mean(live, p));
    (share * probability).sum() * (e as f64 / k as f64)
}

/// The mean of (log Σ exp)² over the live tokens (2202.08906, eq. 5): keeps the logits small.
pub fn z_loss(logits: Tensor<2>, live: &Tensor<2>) -> Tensor<1> {
    let most = stop_gradient(logits.clone()).max_dim(1);
    let log_sum = (logits - most.clone()).exp().sum_dim(1).log() + most;
    live_mean(live, log_sum.square()).reshape([1])
}
