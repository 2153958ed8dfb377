//! Dynamic tanh (DyT): y = w ⊙ tanh(α x) + b over the last dimension (2503.10622, algorithm 1).
//!
//! With t = tanh(α x), g the gradient of y and s = g ⊙ w ⊙ (1 − t²), the gradient of α x:
//!
//! * ∂x = α s
//! * ∂α = Σ over all elements of s x
//! * ∂w = Σ over rows of g ⊙ t, ∂b = Σ over rows of g
//!
//! Shapes: x `[B, T, M]`, α `[1]`, w and b `[M]`. Cost: one exponential and one division an element, in each direction; a
//! row is read once. The tanh is [`tanh`](crate::cpu::vector::tanh), within 3 units in the last place. Bound against the
//! reference: 1e-5 for values and ∂x, 1e-4 · max(1, scale) for the sums over rows (`dynamic_tanh_is_its_reference`).

pub mod fused;
pub mod reference;

use burn::tensor::Tensor;

/// Dynamic tanh of `x [B, T, M]` with `alpha [1]`, `weight [M]` and `bias [M]`; returns `[B, T, M]`.
pub fn dynamic_tanh(x: Tensor<3>, alpha: Tensor<1>, weight: Tensor<1>, bias: Tensor<1>) -> Tensor<3> {
    if crate::cpu::is_cpu_f32(&x) && crate::cpu::is_cpu_f32(&weight) {
        fused::dynamic_tanh(x, alpha, weight, bias)
    } else {
        reference::dynamic_tanh(x, alpha, weight, bias)
    }
}
