//! Rotation as the equation says.

use burn::tensor::Tensor;

/// (a, b) → (a cos − b sin, b cos + a sin), with a the first half of the last dimension and b the second.
pub fn rotate_half(x: Tensor<4>, cos: Tensor<4>, sin: Tensor<4>) -> Tensor<4> {
    let half = x.dims()[3] / 2;
    let (cos, sin) = (cos.cast(x.dtype()), sin.cast(x.dtype()));
    let (a, b) = (x.clone().narrow(3, 0, half), x.narrow(3, half, half));
    Tensor::cat(vec![a.clone() * cos.clone() - b.clone() * sin.clone(), b * cos + a * sin], 3)
}
