//! Spans of tokens: which pairs read each other, with which decay, and the effect of a span on the state.

use burn::tensor::{Bool, Tensor};

/// Pairs (row i, column j) in which token i doesn't read token j: j > i + `diagonal`, or a reset between them.
///
/// `segment [N, T]` counts the resets up to each token; tokens with equal counts share a state. Returns `[N, T, T]`.
pub(super) fn masked_pairs(segment: Tensor<2>, diagonal: i64) -> Tensor<3, Bool> {
    let [n, t] = segment.dims();
    let later =
        Tensor::<2, Bool>::tril_mask([t, t], diagonal, &segment.device()).unsqueeze_dim::<3>(0).expand([n, t, t]);
    let (row, column) = (segment.clone().unsqueeze_dim::<3>(2), segment.unsqueeze_dim::<3>(1));
    row.expand([n, t, t]).not_equal(column.expand([n, t, t])).bool_or(later)
}

/// Scores Σ_d q_id k_jd exp(c_id − c_jd) of pairs that aren't `masked`, otherwise 0, with c the cumulative log decay.
///
/// `query` and `key` are `[N, T, D]`, `cumulative` is `[N, T, D]` or `[N, T, 1]`; returns `[N, T, T]`. The difference is
/// formed before the exponential, and masked to −∞, so no exponent is positive. Memory: N T² times the width of the decay.
pub(super) fn decayed_scores(
    query: Tensor<3>,
    key: Tensor<3>,
    cumulative: Tensor<3>,
    masked: Tensor<3, Bool>,
) -> Tensor<3> {
    let [n, t, w] = cumulative.dims();
    let row = cumulative.clone().unsqueeze_dim::<4>(2).expand([n, t, t, w]);
    let gap = row - cumulative.unsqueeze_dim::<4>(1).expand([n, t, t, w]);
    let decay = gap.mask_fill(masked.unsqueeze_dim::<4>(3).expand([n, t, t, w]), f32::NEG_INFINITY).exp();
    if w == 1 {
        return query.matmul(key.swap_dims(1, 2)) * decay.squeeze_dim(3);
    }
    (decay * key.unsqueeze_dim(1)).matmul(query.unsqueeze_dim(3)).squeeze_dim(3)
}

/// 1 where `a` and `b` are equal, otherwise 0, in the float type of `a`.
pub(super) fn equal_mask<const D: usize>(a: Tensor<D>, b: Tensor<D>) -> Tensor<D> {
    let dtype = a.dtype();
    a.equal(b).float().cast(dtype)
}

/// Returns rows `[N, T, D]` as they read the state before the span: decayed, and 0 from the first reset on.
pub(super) fn reading_rows(rows: Tensor<3>, cumulative: Tensor<3>, segment: Tensor<2>) -> Tensor<3> {
    let zero = segment.zeros_like();
    rows * cumulative.exp() * equal_mask(segment, zero).unsqueeze_dim(2)
}

/// Effect of a span of tokens on the state: S_after = decay ⊙ S_before + keyᵀ · what the tokens write.
pub(super) struct StateUpdate {
    /// Factor of the state before the span, `[N, D, 1]` or `[N, 1, 1]`; 0 if the span has a reset.
    pub decay: Tensor<3>,
    /// Keys decayed up to the end of the span, `[N, T, D]`; 0 before the last reset.
    pub key: Tensor<3>,
}

impl StateUpdate {
    /// Returns the update of tokens `[N, T, ·]`. `cumulative`: log decay from the begin of the span through each token;
    /// `segment`: number of resets, as in [`masked_pairs`].
    pub fn new(key: Tensor<3>, cumulative: Tensor<3>, segment: Tensor<2>) -> Self {
        let [n, t, _] = key.dims();
        let last = cumulative.clone().narrow(1, t - 1, 1);
        let last_segment = segment.clone().narrow(1, t - 1, 1);
        let zero = last_segment.zeros_like();
        // Only tokens after the last reset are still in the state at the end of the span.
        let lasting = equal_mask(segment, last_segment.clone().expand([n, t])).unsqueeze_dim(2);
        let decay = last.clone().exp() * equal_mask(last_segment, zero).unsqueeze_dim(2);
        Self { decay: decay.swap_dims(1, 2), key: key * (last - cumulative).exp() * lasting }
    }

    /// Returns what the span adds to the state, `[N, D, E]`, for values `[N, T, E]`.
    pub fn increment(&self, value: Tensor<3>) -> Tensor<3> {
        self.key.clone().swap_dims(1, 2).matmul(value)
    }
}
