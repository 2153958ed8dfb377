//! RMSNorm composed of Burn's operations: the oracle, on every backend and float type.

use burn::tensor::Tensor;

/// x / √(mean(x²) + ε) ⊙ w: `x [B, T, M]`, `weight [M] → [B, T, M]`.
pub fn rms_norm(x: Tensor<3>, weight: Tensor<1>, eps: f64) -> Tensor<3> {
    let root = (x.clone().square().mean_dim(2) + eps).sqrt();
    x / root * weight.unsqueeze()
}
