//! The update as the algorithm says:
//!
//! m ← β₁ m + (1−β₁) g,  v ← β₂ v + (1−β₂) g²,
//! w ← w (1 − ηλ) − η (m / (1−β₁ᵗ)) / (√(v / (1−β₂ᵗ)) + ε)

use super::{AdamWOutput, AdamWParams};
use burn::tensor::Tensor;

/// One update.
pub fn adamw(
    by: &AdamWParams,
    weight: Tensor<1>,
    gradient: Tensor<1>,
    mean: Tensor<1>,
    square: Tensor<1>,
) -> AdamWOutput {
    let mean = mean * by.beta1 + gradient.clone() * (1.0 - by.beta1);
    let square = square * by.beta2 + gradient.square() * (1.0 - by.beta2);
    let time = by.step as f64;
    let root = (square.clone() / (1.0 - by.beta2.powf(time))).sqrt() + by.eps;
    let change = mean.clone() / root * (by.learning_rate / (1.0 - by.beta1.powf(time)));
    (weight * (1.0 - by.learning_rate * by.weight_decay) - change, mean, square)
}
