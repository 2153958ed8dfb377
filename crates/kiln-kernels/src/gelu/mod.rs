//! GELU of a sum with a bias: f(x + b), with f(z) = z Φ(z) (1606.08415, section 2) or its tanh approximation.
//!
//! * exact: Φ(z) = (1 + erf(z / √2)) / 2, f′(z) = Φ(z) + z φ(z), φ(z) = e^(−z²/2) / √(2π)
//! * tanh: f(z) = z (1 + tanh u) / 2, u = √(2/π) (z + 0.044715 z³), f′(z) = (1 + tanh u) / 2 + z (1 − tanh² u) u′ / 2
//!
//! With g the gradient of the output: ∂x = g ⊙ f′(x + b), ∂b = Σ over rows of ∂x.
//!
//! Shapes: x `[…, N]`, b `[N]`. Cost: one exponential or division an element forward, two backward. Bound against the
//! reference: 1e-5 · max(1, scale) for values of standard deviation up to 30, 1e-4 for the sum over rows
//! (`gelu_is_its_reference`).

pub mod fused;
pub mod reference;

use burn::tensor::Tensor;

/// Form of GELU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GeluForm {
    /// z Φ(z).
    Exact,
    /// The approximation by tanh (GPT-2).
    Tanh,
}

/// GELU of `x […, N]` plus an optional `bias [N]`; returns `[…, N]`.
pub fn gelu<const D: usize>(x: Tensor<D>, bias: Option<Tensor<1>>, form: GeluForm) -> Tensor<D> {
    if crate::cpu::is_cpu_f32(&x) { fused::gelu(x, bias, form) } else { reference::gelu(x, bias, form) }
}
