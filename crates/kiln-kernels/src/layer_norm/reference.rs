//! LayerNorm composed of Burn's operations: the oracle, on every backend and float type.

use burn::tensor::Tensor;

/// (x − mean(x)) / √(var(x) + ε) ⊙ w + b: `x [B, T, M]`, `weight [M]`, `bias [M] → [B, T, M]`.
pub fn layer_norm(x: Tensor<3>, weight: Tensor<1>, bias: Option<Tensor<1>>, eps: f64) -> Tensor<3> {
    burn::tensor::module::layer_norm(x, weight, bias, eps)
}
