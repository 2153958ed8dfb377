//! Rotary position embedding in one pass over memory, forward and backward.
//!
//! The backward pass is the same kernel with sin negated: the transpose of a rotation is the rotation by the opposite angle.
//! A task rotates all heads of some tokens. Every output depends on two inputs, so threads can't change a bit.

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

/// Operation of [`apply_rotary`] on Burn's backends.
#[backend_extension(Flex, Autodiff)]
pub trait Rotate: Backend {
    /// Rotates the pairs of `x [B, H, T, D]` by the angles; with `is_inverse` by the opposite angles.
    fn rotate(
        x: FloatTensor<Self>,
        cos: FloatTensor<Self>,
        sin: FloatTensor<Self>,
        pairs: RotaryPairing,
        is_inverse: bool,
    ) -> FloatTensor<Self>;
}

/// Rotary position embedding of `x [B, H, T, D]` with `cos` and `sin` `[B, 1, T, P]`, which get no gradient.
///
/// # Panics
/// If a tensor isn't f32 on flex.
pub fn apply_rotary(x: Tensor<4>, cos: Tensor<4>, sin: Tensor<4>, pairs: RotaryPairing) -> Tensor<4> {
    let rotated = Dispatch::rotate(x.into_dispatch(), cos.into_dispatch(), sin.into_dispatch(), pairs, false);
    Tensor::from_dispatch(rotated)
}

vectorized! {
    /// One head of one token, pairs (i, i + P): x and y `[2 P]`, cos and sin `[P]`. `sign` is 1, or −1 for the inverse.
    fn rotate_halves(x: &[f32], cos: &[f32], sin: &[f32], sign: f32, y: &mut [f32]) {
        let half = cos.len();
        let (a, b) = x.split_at(half);
        let (rotated_a, rotated_b) = y.split_at_mut(half);
        for i in 0..half {
            rotated_a[i] = a[i] * cos[i] - b[i] * (sin[i] * sign);
            rotated_b[i] = b[i] * cos[i] + a[i] * (sin[i] * sign);
        }
    }

    /// One head of one token, pairs (2i, 2i + 1).
    fn rotate_interleaved(x: &[f32], cos: &[f32], sin: &[f32], sign: f32, y: &mut [f32]) {
        for ((x, y), (cos, sin)) in x.chunks_exact(2).zip(y.chunks_exact_mut(2)).zip(cos.iter().zip(sin)) {
            y[0] = x[0] * cos - x[1] * (sin * sign);
            y[1] = x[1] * cos + x[0] * (sin * sign);
        }
    }
}

impl Rotate for Flex {
    fn rotate(x: FlexTensor, cos: FlexTensor, sin: FlexTensor, pairs: RotaryPairing, is_inverse: bool) -> FlexTensor {
        let half = cos.shape()[3];
        let rotate_head = match pairs {
            RotaryPairing::Half => rotate_halves,
            RotaryPairing::Interleaved => rotate_interleaved,
        };
        // Projections write `[B, T, H, D]`, of which x is usually a view, so this makes no copy. The result has that order
        // in memory too, whatever the strides of x.
        let x = x.transpose(1, 2).to_contiguous();
        let (cos, sin) = (cos.to_contiguous(), sin.to_contiguous());
        let shape = x.shape();
        let t = shape[1];
        let h = shape[2];
        let d = shape[3];
        let xs = as_f32_slice(&x);
        let cs = as_f32_slice(&cos);
        let ss = as_f32_slice(&sin);
        let sign = if is_inverse { -1.0 } else { 1.0 };
        let angle_rows = cs.len() / half / t;
        let mut y = vec![0.0; xs.len()];
        par_fill_rows(&mut y, h * d, |row, y| {
            let angle = if angle_rows == 1 { row % t } else { row } * half;
            let (cos, sin) = (&cs[angle..angle + half], &ss[angle..angle + half]);
            let heads = &xs[row * h * d..(row + 1) * h * d];
            for (x, y) in heads.chunks_exact(d).zip(y.chunks_exact_mut(d)) {
                rotate_head(&x[..2 * half], cos, sin, sign, &mut y[..2 * half]);
                y[2 * half..].copy_from_slice(&x[2 * half..]);
            }
        });
        FlexTensor::new(Bytes::from_elems(y), Layout::contiguous(shape), DType::F32).transpose(1, 2)
    }
}

/// Backward step: rotates the gradient by the opposite angles.
#[derive(Debug)]
struct RotateBackward;

impl<B: Rotate> Backward<B, 1> for RotateBackward {
    type State = (FloatTensor<B>, FloatTensor<B>, RotaryPairing, bool);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let [parent] = ops.parents;
        let (cos, sin, pairs, is_inverse) = ops.state;
        let gradient = grads.consume::<B>(&ops.node);
        if let Some(node) = parent {
            grads.register::<B>(node.id, B::rotate(gradient, cos, sin, pairs, !is_inverse));
        }
    }
}

impl<B: Rotate, C: CheckpointStrategy> Rotate for Autodiff<B, C> {
    fn rotate(
        x: FloatTensor<Self>,
        cos: FloatTensor<Self>,
        sin: FloatTensor<Self>,
        pairs: RotaryPairing,
        is_inverse: bool,
    ) -> FloatTensor<Self> {
        let (x, node) = x.into_parts();
        let (cos, sin) = (cos.into_primitive(), sin.into_primitive());
        let y = B::rotate(x, cos.clone(), sin.clone(), pairs, is_inverse);
        match RotateBackward.prepare::<C>([node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish((cos, sin, pairs, is_inverse), y),
            OpsKind::UnTracked(prep) => prep.finish(y),
        }
    }
}
