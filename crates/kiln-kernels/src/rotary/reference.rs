//! Rotary position embedding composed of Burn's operations: the oracle, on every backend and float type.

use super::RotaryPairing;
use burn::tensor::Tensor;

/// (a, b) → (a cos − b sin, b cos + a sin) for each pair of the first 2 P dimensions: `x [B, H, T, D]`, `cos` and `sin`
/// `[B, 1, T, P]` → `[B, H, T, D]`. `cos` and `sin` are cast to the type of `x`.
pub fn apply_rotary(x: Tensor<4>, cos: Tensor<4>, sin: Tensor<4>, pairs: RotaryPairing) -> Tensor<4> {
    let ([b, h, t, d], p) = (x.dims(), cos.dims()[3]);
    let (cos, sin) = (cos.cast(x.dtype()), sin.cast(x.dtype()));
    let unrotated = (d > 2 * p).then(|| x.clone().narrow(3, 2 * p, d - 2 * p));
    let x = x.narrow(3, 0, 2 * p);
    let rotate = |a: Tensor<4>, b: Tensor<4>| {
        [a.clone() * cos.clone() - b.clone() * sin.clone(), b * cos.clone() + a * sin.clone()]
    };
    let rotated = match pairs {
        RotaryPairing::Half => Tensor::cat(rotate(x.clone().narrow(3, 0, p), x.narrow(3, p, p)).to_vec(), 3),
        RotaryPairing::Interleaved => {
            let side = |n| x.clone().reshape([b, h, t, p, 2]).narrow(4, n, 1).reshape([b, h, t, p]);
            let [first, second] = rotate(side(0), side(1)).map(|side| side.unsqueeze_dim::<5>(4));
            Tensor::cat(vec![first, second], 4).reshape([b, h, t, 2 * p])
        }
    };
    match unrotated {
        Some(unrotated) => Tensor::cat(vec![rotated, unrotated], 3),
        None => rotated,
    }
}
