//! Gated RMSNorm composed of Burn's operations: the oracle, on every backend and float type.

use crate::{rms_norm, silu_gate};
use burn::tensor::Tensor;

/// RMSNorm of x ⊙ silu(gate) in parts, times the weight: `[B, T, I]`, `weight [I] → [B, T, I]`.
pub fn gated_rms_norm(x: Tensor<3>, gate: Tensor<3>, weight: Tensor<1>, parts: usize, eps: f64) -> Tensor<3> {
    let [b, t, width] = x.dims();
    let product = silu_gate::reference::silu_gate(gate, x);
    let ones = Tensor::ones([width / parts], (&product.device(), product.dtype()));
    let normalized =
        rms_norm::reference::rms_norm(product.reshape([b, t * parts, width / parts]), ones, eps).reshape([b, t, width]);
    normalized * weight.unsqueeze()
}
