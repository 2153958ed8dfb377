//! Turning pairs of a head's dimensions by angles (2104.09864, eq. 34).
//!
//! B batch, H heads, T tokens, D width of a head, P pairs.

pub mod fused;
pub mod reference;

use burn::tensor::Tensor;

/// Which dimensions of a head are turned together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum RotaryPairing {
    /// (i, i + P): NeoX, Llama.
    #[default]
    Half,
    /// (2i, 2i + 1): the paper, GPT-J.
    Interleaved,
}

/// Turns the first 2 P of the last dimension in pairs, the rest passes: `x [B, H, T, D]`, `cos` and `sin`
/// `[B, 1, T, P]`, D ≥ 2 P.
pub fn apply_rotary(x: Tensor<4>, cos: Tensor<4>, sin: Tensor<4>, pairs: RotaryPairing) -> Tensor<4> {
    if crate::cpu::is_cpu_f32(&x) && crate::cpu::is_cpu_f32(&cos) {
        fused::apply_rotary(x, cos, sin, pairs)
    } else {
        reference::apply_rotary(x, cos, sin, pairs)
    }
}
