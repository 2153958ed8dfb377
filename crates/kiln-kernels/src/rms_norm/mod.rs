//! RMSNorm: x / √(mean(x²) + ε) · w (1910.07467).

pub mod fused;
pub mod reference;

use burn::tensor::Tensor;

/// `x [B, T, M]`, `weight [M] → [B, T, M]`.
pub fn rms_norm(x: Tensor<3>, weight: Tensor<1>, eps: f64) -> Tensor<3> {
    if crate::cpu::is_cpu_f32(&x) { fused::rms_norm(x, weight, eps) } else { reference::rms_norm(x, weight, eps) }
}
