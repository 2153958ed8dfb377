//! RMSNorm of a gated input: y = p r ⊙ w, p = x ⊙ silu(z), r = 1 / √(mean(p²) + ε) (Mamba-2's output norm; 2405.21060,
//! section 7.1). The channels are normalized in equal parts, each with its own r.
//!
//! With g the gradient of y, σ = σ(z), P the width of a part and ∂p = r (g ⊙ w − p · r² / P · Σ g w p):
//!
//! * ∂x = silu(z) ⊙ ∂p
//! * ∂z = ∂p ⊙ x ⊙ σ (1 + z (1 − σ))
//! * ∂w = Σ over rows of g ⊙ p r
//!
//! Shapes: x and gate z `[B, T, I]`, weight `[I]`. Cost: one exponential an element in each direction; p isn't stored. Bound
//! against the reference: 1e-4 for values and gradients around 1 at ε = 1e-3, I up to 120 (`gated_rms_norm_is_its_reference`).

pub mod fused;
pub mod reference;

use burn::tensor::Tensor;

/// RMSNorm of x ⊙ silu(gate), tensors `[B, T, I]`, in `parts` equal parts of the last dimension, times `weight [I]`; returns
/// `[B, T, I]`. `parts` must divide I. `eps` is added to the mean square.
pub fn gated_rms_norm(x: Tensor<3>, gate: Tensor<3>, weight: Tensor<1>, parts: usize, eps: f64) -> Tensor<3> {
    if [&x, &gate].into_iter().all(crate::cpu::is_cpu_f32) && crate::cpu::is_cpu_f32(&weight) {
        fused::gated_rms_norm(x, gate, weight, parts, eps)
    } else {
        reference::gated_rms_norm(x, gate, weight, parts, eps)
    }
}
