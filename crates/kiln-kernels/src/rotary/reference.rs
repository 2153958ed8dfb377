//! Rotation as the equation says.

use super::RotaryPairing;
use burn::tensor::Tensor;

/// (a, b) → (a cos − b sin, b cos + a sin) for each pair of the first 2 P dimensions; the rest passes.
pub fn apply_rotary(x: Tensor<4>, cos: Tensor<4>, sin: Tensor<4>, pairs: RotaryPairing) -> Tensor<4> {
    let ([b, h, t, d], p) = (x.dims(), cos.dims()[3]);
    let (cos, sin) = (cos.cast(x.dtype()), sin.cast(x.dtype()));
    let rest = (d > 2 * p).then(|| x.clone().narrow(3, 2 * p, d - 2 * p));
    let turned = x.narrow(3, 0, 2 * p);
    let turn = |a: Tensor<4>, b: Tensor<4>| {
        [a.clone() * cos.clone() - b.clone() * sin.clone(), b * cos.clone() + a * sin.clone()]
    };
    let turned = match pairs {
        RotaryPairing::Half => Tensor::cat(turn(turned.clone().narrow(3, 0, p), turned.narrow(3, p, p)).to_vec(), 3),
        RotaryPairing::Interleaved => {
            let side = |n| turned.clone().reshape([b, h, t, p, 2]).narrow(4, n, 1).reshape([b, h, t, p]);
            let [a, b_] = turn(side(0), side(1)).map(|side| side.unsqueeze_dim::<5>(4));
            Tensor::cat(vec![a, b_], 4).reshape([b, h, t, 2 * p])
        }
    };
    match rest {
        Some(rest) => Tensor::cat(vec![turned, rest], 3),
        None => turned,
    }
}
