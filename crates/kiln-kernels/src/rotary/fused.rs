//! Rotation in one pass; backward is the rotation by the opposite angle.

use super::RotaryPairing;
use crate::cpu::backend_api::{
    Autodiff, Backend, Backward, CheckpointStrategy, Checkpointer, Dispatch, Flex, FlexTensor, FloatTensor, Gradients,
    Layout, Ops, OpsKind, TensorMetadata, backend_extension,
};
use crate::cpu::{
    tensor::{as_f32_slice, par_fill_rows},
    vector::vectorized,
};
use burn::tensor::{Bytes, DType, Tensor};

/// The operation, as every backend that can be differentiated through has it.
#[backend_extension(Flex, Autodiff)]
pub trait Rotate: Backend {
    /// Turns the pairs of `x` by the angles, or with `back` by their opposites.
    fn rotate(
        x: FloatTensor<Self>,
        cos: FloatTensor<Self>,
        sin: FloatTensor<Self>,
        pairs: RotaryPairing,
        back: bool,
    ) -> FloatTensor<Self>;
}

/// `x [B, H, T, D]`, `cos` and `sin` `[B, 1, T, P]`, no gradient to them. 32-bit floats on flex only.
pub fn apply_rotary(x: Tensor<4>, cos: Tensor<4>, sin: Tensor<4>, pairs: RotaryPairing) -> Tensor<4> {
    let turned = Dispatch::rotate(x.into_dispatch(), cos.into_dispatch(), sin.into_dispatch(), pairs, false);
    Tensor::from_dispatch(turned)
}

vectorized! {
    fn rotate_halves(x: &[f32], cos: &[f32], sin: &[f32], sign: f32, y: &mut [f32]) {
        let half = cos.len();
        let ((a, b), (p, q)) = (x.split_at(half), y.split_at_mut(half));
        for i in 0..half {
            p[i] = a[i] * cos[i] - b[i] * (sin[i] * sign);
            q[i] = b[i] * cos[i] + a[i] * (sin[i] * sign);
        }
    }

    fn rotate_interleaved(x: &[f32], cos: &[f32], sin: &[f32], sign: f32, y: &mut [f32]) {
        for ((x, y), (cos, sin)) in x.chunks_exact(2).zip(y.chunks_exact_mut(2)).zip(cos.iter().zip(sin)) {
            y[0] = x[0] * cos - x[1] * (sin * sign);
            y[1] = x[1] * cos + x[0] * (sin * sign);
        }
    }
}

impl Rotate for Flex {
    fn rotate(x: FlexTensor, cos: FlexTensor, sin: FlexTensor, pairs: RotaryPairing, back: bool) -> FlexTensor {
        let half = cos.shape()[3];
        let turn = match pairs {
            RotaryPairing::Half => rotate_halves,
            RotaryPairing::Interleaved => rotate_interleaved,
        };
        // Projections leave `[B, T, H, D]` in memory; so does the result, whatever view of it was given.
        let (x, cos, sin) = (x.transpose(1, 2).to_contiguous(), cos.to_contiguous(), sin.to_contiguous());
        let shape = x.shape();
        let (t, h, d) = (shape[1], shape[2], shape[3]);
        let (xs, cs, ss) = (as_f32_slice(&x), as_f32_slice(&cos), as_f32_slice(&sin));
        let sign = if back { -1.0 } else { 1.0 };
        let rows_of_angles = cs.len() / half / t;
        let mut y = vec![0.0; xs.len()];
        par_fill_rows(&mut y, h * d, |row, y| {
            let at = if rows_of_angles == 1 { row % t } else { row } * half;
            let from = &xs[row * h * d..(row + 1) * h * d];
            for (from, to) in from.chunks_exact(d).zip(y.chunks_exact_mut(d)) {
                turn(&from[..2 * half], &cs[at..at + half], &ss[at..at + half], sign, &mut to[..2 * half]);
                to[2 * half..].copy_from_slice(&from[2 * half..]);
            }
        });
        FlexTensor::new(Bytes::from_elems(y), Layout::contiguous(shape), DType::F32).transpose(1, 2)
    }
}

#[derive(Debug)]
struct RotateBackward;

impl<B: Rotate> Backward<B, 1> for RotateBackward {
    type State = (FloatTensor<B>, FloatTensor<B>, RotaryPairing, bool);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let [parent] = ops.parents;
        let (cos, sin, pairs, back) = ops.state;
        let gradient = grads.consume::<B>(&ops.node);
        if let Some(node) = parent {
            grads.register::<B>(node.id, B::rotate(gradient, cos, sin, pairs, !back));
        }
    }
}

impl<B: Rotate, C: CheckpointStrategy> Rotate for Autodiff<B, C> {
    fn rotate(
        x: FloatTensor<Self>,
        cos: FloatTensor<Self>,
        sin: FloatTensor<Self>,
        pairs: RotaryPairing,
        back: bool,
    ) -> FloatTensor<Self> {
        let (x, node) = x.into_parts();
        let (cos, sin) = (cos.into_primitive(), sin.into_primitive());
        let y = B::rotate(x, cos.clone(), sin.clone(), pairs, back);
        match RotateBackward.prepare::<C>([node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish((cos, sin, pairs, back), y),
            OpsKind::UnTracked(prep) => prep.finish(y),
        }
    }
}
