//! LayerNorm: y = (x − mean(x)) / √(var(x) + ε) ⊙ w + b over the last dimension (1607.06450, section 3). The variance is the
//! biased one, divided by M.
//!
//! With r = 1 / √(var(x) + ε), x̂ = (x − mean(x)) r, M the width, g the gradient of y and a = g ⊙ w:
//!
//! * ∂x = r (a − mean(a) − x̂ · mean(a ⊙ x̂))
//! * ∂w = Σ over rows of g ⊙ x̂
//! * ∂b = Σ over rows of g
//!
//! Shapes: `[B, T, M]`, weight and bias `[M]`. Cost: 5 passes over a row that is in cache. Bound against the reference: 1e-4
//! for values and gradients at ε = 1e-3, M up to 70 (`layer_norm_is_its_reference`).

pub mod fused;
pub mod reference;

use burn::tensor::Tensor;

/// LayerNorm of `x [B, T, M]` with `weight [M]` and an optional `bias [M]`; returns `[B, T, M]`. `eps` is added to the variance;
/// it keeps a row of equal numbers at the bias.
pub fn layer_norm(x: Tensor<3>, weight: Tensor<1>, bias: Option<Tensor<1>>, eps: f64) -> Tensor<3> {
    if crate::cpu::is_cpu_f32(&x) && crate::cpu::is_cpu_f32(&weight) {
        fused::layer_norm(x, weight, bias, eps)
    } else {
        reference::layer_norm(x, weight, bias, eps)
    }
}
