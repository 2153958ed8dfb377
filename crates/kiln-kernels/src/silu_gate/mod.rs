//! Gate of a gated feed-forward network (SwiGLU): silu(gate) ⊙ up, with silu(x) = x σ(x) (2002.05202, eq. 6).
//!
//! With s = σ(gate) and g the gradient of the output:
//!
//! * ∂gate = g ⊙ up ⊙ s (1 + gate (1 − s))
//! * ∂up = g ⊙ silu(gate)
//!
//! Element by element: no sums, so no order of summation. Cost: one exponential an element forward, two backward. Bound
//! against the reference: 1e-5 · max(1, scale) for gates of standard deviation up to 30 (`gate_is_its_reference`).

pub mod fused;
pub mod reference;

use burn::tensor::Tensor;

/// silu(gate) ⊙ up of two tensors `[B, T, N]`, N the intermediate size; returns `[B, T, N]`.
pub fn silu_gate(gate: Tensor<3>, up: Tensor<3>) -> Tensor<3> {
    if crate::cpu::is_cpu_f32(&gate) { fused::silu_gate(gate, up) } else { reference::silu_gate(gate, up) }
}
