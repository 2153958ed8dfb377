//! GELU composed of Burn's operations: the oracle, on every backend and float type.

use super::GeluForm;
use burn::tensor::{Tensor, activation};

/// f(x + b), `x […, N]`, `bias [N] → […, N]`.
pub fn gelu<const D: usize>(x: Tensor<D>, bias: Option<Tensor<1>>, form: GeluForm) -> Tensor<D> {
    let x = match bias {
        Some(bias) => x + bias.unsqueeze(),
        None => x,
    };
    match form {
        GeluForm::Exact => activation::gelu(x),
        GeluForm::Tanh => activation::gelu_approximate(x),
    }
}
