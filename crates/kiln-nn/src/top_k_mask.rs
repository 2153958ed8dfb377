//! The k greatest values of each row, the first of equal ones, on the device: no value is read back.

use burn::tensor::{Bool, Tensor};

/// Returns true for the `k` greatest scores of each row of the last dimension, 1 ≤ k < its length: all above the k-th
/// greatest, and the first of those equal to it. A NaN isn't selected. `scores` has no gradient.
pub(crate) fn top_k_mask<const D: usize>(scores: Tensor<D>, k: usize) -> Tensor<D, Bool> {
    let dim = D - 1;
    let threshold = scores.clone().gather(dim, scores.clone().argtopk(k, dim)).min_dim(dim).expand(scores.dims());
    let above = scores.clone().greater(threshold.clone());
    let equal = scores.equal(threshold);
    let remaining = above.clone().int().sum_dim(dim) * -1 + k as i32;
    let is_first = equal.clone().int().cumsum(dim).lower_equal(remaining.expand(equal.dims()));
    above.bool_or(equal.bool_and(is_first))
}
