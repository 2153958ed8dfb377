//! Turning pairs of a head's dimensions by angles (2104.09864, eq. 34).
//!
//! B batch, H heads, T tokens, D width of a head, P pairs.

pub mod fused;
pub mod reference;

use burn::tensor::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which dimensions of a head are turned together.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[serde(rename_all = "snake_case")]
pub enum Pairs {
    /// (i, i + P): NeoX, Llama.
    #[default]
    Half,
    /// (2i, 2i + 1): the paper, GPT-J.
    Interleaved,
}

/// Turns the first 2 P of the last dimension in pairs, the rest passes: `x [B, H, T, D]`, `cos` and `sin`
/// `[B, 1, T, P]`, D ≥ 2 P.
pub fn rotate(x: Tensor<4>, cos: Tensor<4>, sin: Tensor<4>, pairs: Pairs) -> Tensor<4> {
    if crate::cpu::takes(&x) && crate::cpu::takes(&cos) {
        fused::rotate(x, cos, sin, pairs)
    } else {
        reference::rotate(x, cos, sin, pairs)
    }
}
