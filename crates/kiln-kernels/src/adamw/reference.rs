//! AdamW update composed of Burn's operations: the oracle, on every backend and float type.

use super::{AdamWOutput, AdamWParams};
use burn::tensor::Tensor;

/// AdamW update of flat tensors `[n]`, in the order of the formulas of the [module](super).
pub fn adamw(
    params: &AdamWParams,
    weight: Tensor<1>,
    gradient: Tensor<1>,
    mean: Tensor<1>,
    square: Tensor<1>,
) -> AdamWOutput {
    let mean = mean * params.beta1 + gradient.clone() * (1.0 - params.beta1);
    let square = square * params.beta2 + gradient.square() * (1.0 - params.beta2);
    let step = params.step as f64;
    let root = (square.clone() / (1.0 - params.beta2.powf(step))).sqrt() + params.eps;
    let change = mean.clone() / root * (params.learning_rate / (1.0 - params.beta1.powf(step)));
    (weight * (1.0 - params.learning_rate * params.weight_decay) - change, mean, square)
}
