//! The gate as the equation says.

use burn::tensor::{Tensor, activation::silu};

/// silu(gate) ⊙ up, with silu(x) = x / (1 + e^−x).
pub fn silu_gate(gate: Tensor<3>, up: Tensor<3>) -> Tensor<3> {
    silu(gate) * up
}
