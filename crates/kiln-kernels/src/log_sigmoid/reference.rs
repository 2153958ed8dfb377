//! Log-sigmoid of Burn: the oracle, on every backend and float type.

use burn::tensor::{Tensor, activation};

/// ln σ(x) of every element.
pub fn log_sigmoid<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    activation::log_sigmoid(x)
}
