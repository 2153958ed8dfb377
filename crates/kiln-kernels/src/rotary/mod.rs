//! Rotary position embedding (RoPE): pairs of a head's dimensions rotated by an angle a token (2104.09864, eq. 34).
//!
//! A pair (a, b) with the angle φ of its token and pair becomes (a cos φ − b sin φ, b cos φ + a sin φ). The caller computes
//! φ = position · frequency and passes cos and sin; [`apply_rotary`] rotates. Since the rotation is orthogonal, the gradient
//! is the rotation by −φ. Queries and keys rotated alike have products that depend on the difference of positions only.
//!
//! Shapes: B batch, H heads, T tokens, D width of a head, P pairs, 2 P ≤ D; dimensions from 2 P on pass unchanged.
//! Cost: 6 operations per pair. No sums over more than two terms, so no order of summation; fused and reference differ by at
//! most 1e-5 for values around 1 (`rotation_is_its_reference`).

pub mod fused;
pub mod reference;

use burn::tensor::Tensor;

/// Which dimensions of a head form a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum RotaryPairing {
    /// (i, i + P): NeoX, Llama and their successors.
    #[default]
    Half,
    /// (2i, 2i + 1): the paper, GPT-J.
    Interleaved,
}

/// Rotary position embedding of `x [B, H, T, D]`, with `cos` and `sin` `[B, 1, T, P]` or `[1, 1, T, P]`.
///
/// The first 2 P dimensions are rotated in pairs, the others pass unchanged. Returns `[B, H, T, D]`. `cos` and `sin` get no
/// gradient from the fused kernel; positions aren't trained.
pub fn apply_rotary(x: Tensor<4>, cos: Tensor<4>, sin: Tensor<4>, pairs: RotaryPairing) -> Tensor<4> {
    if crate::cpu::is_cpu_f32(&x) && crate::cpu::is_cpu_f32(&cos) {
        fused::apply_rotary(x, cos, sin, pairs)
    } else {
        reference::apply_rotary(x, cos, sin, pairs)
    }
}
