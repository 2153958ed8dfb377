//! SwiGLU gate composed of Burn's operations: the oracle, on every backend and float type.

use burn::tensor::{Tensor, activation::silu};

/// silu(gate) ⊙ up, `[B, T, N] → [B, T, N]`, with silu(x) = x / (1 + e^−x).
pub fn silu_gate(gate: Tensor<3>, up: Tensor<3>) -> Tensor<3> {
    silu(gate) * up
}
