//! The update of AdamW (1711.05101, algorithm 2), on flat parameters of n numbers.

pub mod fused;
pub mod reference;

use burn::tensor::Tensor;

/// Numbers of one update.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamWParams {
    /// Learning rate η.
    pub learning_rate: f64,
    /// β₁.
    pub beta1: f64,
    /// β₂.
    pub beta2: f64,
    /// ε.
    pub eps: f64,
    /// Weight decay λ; 0: none.
    pub weight_decay: f64,
    /// Updates so far, this one counted.
    pub step: u64,
}

/// Weight, mean and mean square after the update, `[n]` each.
pub type AdamWOutput = (Tensor<1>, Tensor<1>, Tensor<1>);

/// One update of `weight` by `gradient`, with its running `mean` and mean `square`.
pub fn adamw(
    by: &AdamWParams,
    weight: Tensor<1>,
    gradient: Tensor<1>,
    mean: Tensor<1>,
    square: Tensor<1>,
) -> AdamWOutput {
    if crate::cpu::is_cpu_f32(&weight) && crate::cpu::is_cpu_f32(&gradient) {
        fused::adamw(by, weight, gradient, mean, square)
    } else {
        reference::adamw(by, weight, gradient, mean, square)
    }
}
