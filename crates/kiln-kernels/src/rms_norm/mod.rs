//! RMSNorm: y = x / √(mean(x²) + ε) ⊙ w over the last dimension (1910.07467, eq. 4; ε as in Llama).
//!
//! With r = 1 / √(mean(x²) + ε), M the width and g the gradient of y:
//!
//! * ∂x = r (g ⊙ w − x · r² / M · Σ g w x)
//! * ∂w = Σ over rows of g ⊙ x · r
//!
//! Shapes: `[B, T, M]`, weight `[M]`. Cost: 4 passes over a row that is in cache. Bound against the reference: 1e-4 for
//! values and gradients at ε = 1e-3, M up to 70 (`rms_norm_is_its_reference`).

pub mod fused;
pub mod reference;

use burn::tensor::Tensor;

/// RMSNorm of `x [B, T, M]` with `weight [M]`; returns `[B, T, M]`. `eps` is added to the mean square; it keeps a row of zeros
/// at zeros.
pub fn rms_norm(x: Tensor<3>, weight: Tensor<1>, eps: f64) -> Tensor<3> {
    if crate::cpu::is_cpu_f32(&x) { fused::rms_norm(x, weight, eps) } else { reference::rms_norm(x, weight, eps) }
}
