//! End of a gated network composed of the gate and a matrix product: the oracle, on every backend and float type.

use crate::silu_gate::silu_gate;
use burn::tensor::{Tensor, module::linear};

/// (silu(gate) ⊙ up) W: `[B, T, N]`, `weight [N, M] → [B, T, M]`.
pub fn gated_linear(gate: Tensor<3>, up: Tensor<3>, weight: Tensor<2>) -> Tensor<3> {
    linear(silu_gate(gate, up), weight, None)
}
