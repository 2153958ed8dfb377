//! AdamW update of one parameter (1711.05101, algorithm 2), on flat tensors of n values.
//!
//! With gradient g, step t, learning rate η and weight decay λ:
//!
//! * m ← β₁ m + (1 − β₁) g
//! * v ← β₂ v + (1 − β₂) g²
//! * w ← w (1 − η λ) − η · m / (1 − β₁ᵗ) / (√(v / (1 − β₂ᵗ)) + ε)
//!
//! Weight decay is decoupled: it isn't part of g. Element by element, so no order of summation. Cost: 4 reads and 3 writes of
//! n values. Bound of the fused kernel against the reference: 1e-5 for values around 1 (`adamw_is_its_reference`).

pub mod fused;
pub mod reference;

use burn::tensor::Tensor;

/// Hyperparameters of one update. The step's learning rate comes from the schedule.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamWParams {
    /// Learning rate η of this step.
    pub learning_rate: f64,
    /// β₁, decay of the running mean m, 0 ≤ β₁ < 1.
    pub beta1: f64,
    /// β₂, decay of the running mean square v, 0 ≤ β₂ < 1.
    pub beta2: f64,
    /// ε, added to the root.
    pub eps: f64,
    /// Weight decay λ; 0: none.
    pub weight_decay: f64,
    /// Step t, counted from 1: the number of updates including this one.
    pub step: u64,
}

/// Weight w, mean m and mean square v after the update, `[n]` each.
pub type AdamWOutput = (Tensor<1>, Tensor<1>, Tensor<1>);

/// AdamW update of `weight [n]` by `gradient [n]`, with its running `mean` m and mean `square` v, both 0 before step 1.
/// Not differentiable: call it on tensors without autodiff.
pub fn adamw(
    params: &AdamWParams,
    weight: Tensor<1>,
    gradient: Tensor<1>,
    mean: Tensor<1>,
    square: Tensor<1>,
) -> AdamWOutput {
    if crate::cpu::is_cpu_f32(&weight) && crate::cpu::is_cpu_f32(&gradient) {
        fused::adamw(params, weight, gradient, mean, square)
    } else {
        reference::adamw(params, weight, gradient, mean, square)
    }
}
