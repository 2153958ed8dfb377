//! The gate of a gated feed-forward: silu(gate) ⊙ up (2002.05202).

pub mod fused;
pub mod reference;

use burn::tensor::Tensor;

/// silu(gate) ⊙ up, any shape.
pub fn silu_gate(gate: Tensor<3>, up: Tensor<3>) -> Tensor<3> {
    if crate::cpu::is_cpu_f32(&gate) { fused::silu_gate(gate, up) } else { reference::silu_gate(gate, up) }
}
