//! Short causal convolution over the tokens, one filter for each channel, with optional SiLU (2405.21060, section 7.1).
//!
//! z_t = b + Σ_k w_k ⊙ x_{s(t, k)},  y = silu(z) or z.
//!
//! The filter has W rows. Row W − 1 reads the token itself; the rows before it read the tokens before it. Which token that
//! is, s(t, k), is an input (taps): a row index of x, or −1 for none. So documents, padding and rows of an earlier call are
//! the caller's matter.
//!
//! With g the gradient of y and δ = g silu'(z): ∂x_s = Σ w_k ⊙ δ_t over the pairs (t, k) that read s, ∂w_k = Σ δ_t ⊙
//! x_{s(t, k)}, ∂b = Σ δ_t.
//!
//! Shapes: `x [B, S, N]`, filter `[W, N]`, bias `[N]`, taps `[B, T, W]`, `y [B, T, N]`. Cost: 2 W operations an element.
//! Bound against the reference: 1e-4 for values around 1 (`short_convolution_is_its_reference`).

pub mod fused;
pub mod reference;

use burn::tensor::{Int, Tensor};

/// Filter of a short convolution.
#[derive(Clone, Debug)]
pub struct Filter {
    /// Weights w, `[W, N]`; the last row reads the token itself.
    pub weight: Tensor<2>,
    /// Bias b, `[N]`. Absent: 0.
    pub bias: Option<Tensor<1>>,
    /// Whether SiLU is applied to the result.
    pub silu: bool,
}

/// Short convolution of `x [B, S, N]` by `taps [B, T, W]` (rows of x, −1 for none); returns `[B, T, N]`.
pub fn short_convolution(x: Tensor<3>, taps: Tensor<3, Int>, filter: Filter) -> Tensor<3> {
    if crate::cpu::is_cpu_f32(&x) {
        fused::short_convolution(x, taps, filter)
    } else {
        reference::short_convolution(x, taps, filter)
    }
}
