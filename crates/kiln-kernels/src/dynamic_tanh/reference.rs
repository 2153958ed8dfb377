//! Dynamic tanh composed of Burn's operations: the oracle, on every backend and float type.

use burn::tensor::Tensor;

/// w ⊙ tanh(α x) + b: `x [B, T, M]`, `alpha [1]`, `weight [M]`, `bias [M] → [B, T, M]`.
pub fn dynamic_tanh(x: Tensor<3>, alpha: Tensor<1>, weight: Tensor<1>, bias: Tensor<1>) -> Tensor<3> {
    (x * alpha.unsqueeze()).tanh() * weight.unsqueeze() + bias.unsqueeze()
}
