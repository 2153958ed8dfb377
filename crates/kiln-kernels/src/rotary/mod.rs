//! Turning pairs of a head's dimensions by angles (2104.09864, eq. 34).
//!
//! B batch, H heads, T tokens, D width of a head, P pairs.

pub mod fused;
pub mod reference;

use burn::tensor::Tensor;

/// Turns the pairs (i, i + P) of the last dimension, D = 2 P: `x [B, H, T, D]`, `cos` and `sin` `[B, 1, T, P]`.
pub fn rotate_half(x: Tensor<4>, cos: Tensor<4>, sin: Tensor<4>) -> Tensor<4> {
    if crate::cpu::takes(&x) && crate::cpu::takes(&cos) {
        fused::rotate_half(x, cos, sin)
    } else {
        reference::rotate_half(x, cos, sin)
    }
}
