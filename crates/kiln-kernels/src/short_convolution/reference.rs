//! Short convolution composed of Burn's operations: the oracle, on every backend and float type.

use super::Filter;
use burn::tensor::{Int, Tensor, activation::silu};

/// One gather of all channels for each row of the filter. Memory: W B T N.
pub fn short_convolution(x: Tensor<3>, taps: Tensor<3, Int>, filter: Filter) -> Tensor<3> {
    let ([b, t, w], n, dtype) = (taps.dims(), x.dims()[2], x.dtype());
    let tap = |k: usize| {
        let source = taps.clone().narrow(2, k, 1);
        let is_read = source.clone().greater_equal_elem(0).float().cast(dtype);
        let rows = x.clone().gather(1, source.clamp_min(0).expand([b, t, n]));
        rows * is_read * filter.weight.clone().narrow(0, k, 1).unsqueeze_dim::<3>(0)
    };
    let sum = (1..w).fold(tap(0), |sum, k| sum + tap(k));
    let sum = match filter.bias {
        Some(bias) => sum + bias.unsqueeze(),
        None => sum,
    };
    if filter.silu { silu(sum) } else { sum }
}
