//! End of a gated feed-forward network: y = (silu(a) ⊙ u) W, with a the gate and u the up projection (2002.05202, eq. 6).
//!
//! With p = silu(a) ⊙ u, G the gradient of y and D = G Wᵀ:
//!
//! * ∂a = D ⊙ u ⊙ s (1 + a (1 − s)), s = σ(a)
//! * ∂u = D ⊙ silu(a)
//! * ∂W = pᵀ G
//!
//! Composed operations keep a, u and p for the backward pass. The fused kernel keeps a and u and computes p again, one
//! exponential an element: a third less memory for the network's activations.
//!
//! Shapes: a and u `[B, T, N]`, W `[N, M]`, y `[B, T, M]`. Cost: 2 N M operations a token forward, 4 backward. Bound against
//! [`silu_gate`](crate::silu_gate) and a matrix product: 1e-4 · max(1, scale) for N up to 70 (`gated_linear_is_its_parts`).

pub mod fused;
pub mod reference;

use crate::cpu::is_cpu_f32;
use burn::tensor::Tensor;

/// (silu(gate) ⊙ up) W of two tensors `[B, T, N]` with `weight [N, M]`; returns `[B, T, M]`.
pub fn gated_linear(gate: Tensor<3>, up: Tensor<3>, weight: Tensor<2>) -> Tensor<3> {
    if is_cpu_f32(&gate) && is_cpu_f32(&weight) {
        fused::gated_linear(gate, up, weight)
    } else {
        reference::gated_linear(gate, up, weight)
    }
}
