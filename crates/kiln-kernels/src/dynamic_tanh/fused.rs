//! Dynamic tanh in one pass forward and one backward.
//!
//! x is stored for the backward pass, tanh(α x) is computed again: an exponential costs less than writing another tensor to
//! memory and reading it. Order of sums: the gradients of w and b, and the one of α for each column, over rows in blocks of
//! fixed size ([`par_new_rows_and_sum`]); then α's over columns in 16 lanes ([`sum`]). The bits are the same for any number of
//! threads (`threads_change_no_bit`).

use crate::cpu::backend_api::{
    Autodiff, Backend, Backward, CheckpointStrategy, Checkpointer, Dispatch, Flex, FlexTensor, FloatTensor, Gradients,
    Ops, OpsKind, TensorMetadata, backend_extension,
};
use crate::cpu::{
    tensor::{as_f32_slice, f32_tensor, par_new_rows, par_new_rows_and_sum},
    vector::{sum, tanh, vectorized},
};
use burn::tensor::{Shape, Tensor};

/// Operation of [`dynamic_tanh`] on Burn's backends.
#[backend_extension(Flex, Autodiff)]
pub trait DynamicTanh: Backend {
    /// w ⊙ tanh(α x) + b over the last dimension.
    fn dynamic_tanh(
        x: FloatTensor<Self>,
        alpha: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
    ) -> FloatTensor<Self>;
}

/// Gradient of dynamic tanh, on backends without autodiff.
pub trait DynamicTanhGradient: DynamicTanh {
    /// Returns the gradients of x, in its shape, of α `[1]`, and of w and b `[M]`. The gradient of b needs no value of b.
    fn dynamic_tanh_gradient(
        x: FloatTensor<Self>,
        alpha: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
    ) -> [FloatTensor<Self>; 4];
}

/// Dynamic tanh of `x [B, T, M]` with `alpha [1]`, `weight [M]` and `bias [M]`; returns `[B, T, M]`.
///
/// # Panics
/// If a tensor isn't f32 on flex.
pub fn dynamic_tanh(x: Tensor<3>, alpha: Tensor<1>, weight: Tensor<1>, bias: Tensor<1>) -> Tensor<3> {
    let [alpha, weight, bias] = [alpha, weight, bias].map(Tensor::into_dispatch);
    Tensor::from_dispatch(Dispatch::dynamic_tanh(x.into_dispatch(), alpha, weight, bias))
}

/// Sums over rows that a task adds to, each `[M]`.
struct RowSums<'a> {
    alpha: &'a mut [f32],
    weight: &'a mut [f32],
    bias: &'a mut [f32],
}

vectorized! {
    /// w tanh(α x) + b of a row.
    fn forward_row(x: &[f32], alpha: f32, w: &[f32], b: &[f32], y: &mut [f32]) {
        for (((y, x), w), b) in y.iter_mut().zip(x).zip(w).zip(b) {
            *y = tanh(alpha * x) * w + b;
        }
    }

    /// α s of a row, s = g w (1 − t²); adds s x, g t and g to the sums.
    fn gradient_row(x: &[f32], alpha: f32, w: &[f32], g: &[f32], dx: &mut [f32], sums: RowSums<'_>) {
        let sums = sums.alpha.iter_mut().zip(sums.weight).zip(sums.bias);
        for ((((dx, x), w), g), ((da, dw), db)) in dx.iter_mut().zip(x).zip(w).zip(g).zip(sums) {
            let t = tanh(alpha * x);
            let s = g * w * (1.0 - t * t);
            *dx = alpha * s;
            *da += s * x;
            *dw += g * t;
            *db += g;
        }
    }

    /// Σ of all values, in 16 lanes.
    fn sum_columns(values: &[f32]) -> f32 {
        sum(values.len(), |i| values[i])
    }
}

impl DynamicTanh for Flex {
    fn dynamic_tanh(x: FlexTensor, alpha: FlexTensor, weight: FlexTensor, bias: FlexTensor) -> FlexTensor {
        let [x, alpha, weight, bias] = [x, alpha, weight, bias].map(|tensor| tensor.to_contiguous());
        let (xs, alpha, w, b) = (as_f32_slice(&x), as_f32_slice(&alpha)[0], as_f32_slice(&weight), as_f32_slice(&bias));
        let n = w.len();
        let y = par_new_rows(xs.len(), n, |row, y| forward_row(&xs[row * n..(row + 1) * n], alpha, w, b, y));
        f32_tensor(y, x.shape())
    }
}

impl DynamicTanhGradient for Flex {
    fn dynamic_tanh_gradient(
        x: FlexTensor,
        alpha: FlexTensor,
        weight: FlexTensor,
        gradient: FlexTensor,
    ) -> [FlexTensor; 4] {
        let [x, alpha, weight, gradient] = [x, alpha, weight, gradient].map(|tensor| tensor.to_contiguous());
        let (xs, alpha, w, g) =
            (as_f32_slice(&x), as_f32_slice(&alpha)[0], as_f32_slice(&weight), as_f32_slice(&gradient));
        let n = w.len();
        let ([dx], sums) = par_new_rows_and_sum(xs.len(), n, 3 * n, |row, [dx], sums| {
            let columns = row * n..(row + 1) * n;
            let (alpha_sums, rest) = sums.split_at_mut(n);
            let (weight_sums, bias_sums) = rest.split_at_mut(n);
            let sums = RowSums { alpha: alpha_sums, weight: weight_sums, bias: bias_sums };
            gradient_row(&xs[columns.clone()], alpha, w, &g[columns], dx, sums);
        });
        let vector = |values: &[f32]| f32_tensor(values.to_vec(), Shape::from([values.len()]));
        [f32_tensor(dx, x.shape()), vector(&[sum_columns(&sums[..n])]), vector(&sums[n..2 * n]), vector(&sums[2 * n..])]
    }
}

/// Backward step; stores x, α and w.
#[derive(Debug)]
struct DynamicTanhBackward;

impl<B: DynamicTanhGradient> Backward<B, 4> for DynamicTanhBackward {
    type State = [FloatTensor<B>; 3];

    fn backward(self, ops: Ops<Self::State, 4>, grads: &mut Gradients, _: &mut Checkpointer) {
        let [x, alpha, weight] = ops.state;
        let gradient = grads.consume::<B>(&ops.node);
        let gradients = B::dynamic_tanh_gradient(x, alpha, weight, gradient);
        for (parent, gradient) in ops.parents.into_iter().zip(gradients) {
            if let Some(node) = parent {
                grads.register::<B>(node.id, gradient);
            }
        }
    }
}

impl<B: DynamicTanhGradient, C: CheckpointStrategy> DynamicTanh for Autodiff<B, C> {
    fn dynamic_tanh(
        x: FloatTensor<Self>,
        alpha: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        let [(x, x_node), (alpha, alpha_node), (weight, weight_node), (bias, bias_node)] =
            [x, alpha, weight, bias].map(|tensor| tensor.into_parts());
        let y = B::dynamic_tanh(x.clone(), alpha.clone(), weight.clone(), bias);
        let nodes = [x_node, alpha_node, weight_node, bias_node];
        match DynamicTanhBackward.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish([x, alpha, weight], y),
            OpsKind::UnTracked(prep) => prep.finish(y),
        }
    }
}
