//! RMSNorm as the equation says.

use burn::tensor::Tensor;

/// x / √(mean(x²) + ε) · w: `x [B, T, M]`, `weight [M]`.
pub fn rms_norm(x: Tensor<3>, weight: Tensor<1>, eps: f64) -> Tensor<3> {
    let root = (x.clone().square().mean_dim(2) + eps).sqrt();
    x / root * weight.unsqueeze()
}
