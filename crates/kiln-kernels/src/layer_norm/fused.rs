//! LayerNorm in one pass forward and one backward.
//!
//! Order of sums: over a row in 16 lanes ([`sum`]); the gradients of weight and bias over rows in blocks of fixed size
//! ([`par_fill_and_sum_rows`]: 16,384 / M rows per block). Both depend on the shape alone, so the bits are the same for any
//! number of threads (`threads_change_no_bit`). Mean and variance are computed again in the backward pass instead of stored:
//! they cost two passes over a row that the gradient reads anyway. The variance is summed from differences to the mean, so
//! rows with a large mean lose nothing.

use crate::cpu::backend_api::{
    Autodiff, Backend, Backward, CheckpointStrategy, Checkpointer, Dispatch, Flex, FlexTensor, FloatTensor, Gradients,
    Ops, OpsKind, TensorMetadata, backend_extension,
};
use crate::cpu::{
    tensor::{as_f32_slice, f32_tensor, par_fill_and_sum_rows, par_fill_rows},
    vector::{sum, vectorized},
};
use burn::tensor::{Shape, Tensor};

/// Operation of [`layer_norm`] on Burn's backends.
#[backend_extension(Flex, Autodiff)]
pub trait LayerNorm: Backend {
    /// (x − mean(x)) / √(var(x) + ε) ⊙ w + b over the last dimension.
    fn layer_norm_with_bias(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        eps: f64,
    ) -> FloatTensor<Self>;
}

/// Gradient of LayerNorm, on backends without autodiff.
pub trait LayerNormGradient: LayerNorm {
    /// Returns the gradients of x, in its shape, of w `[M]` and of b `[M]`.
    fn layer_norm_gradient(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        eps: f64,
    ) -> [FloatTensor<Self>; 3];
}

/// LayerNorm of `x [B, T, M]` with `weight [M]` and an optional `bias [M]`; returns `[B, T, M]`.
///
/// # Panics
/// If a tensor isn't f32 on flex.
pub fn layer_norm(x: Tensor<3>, weight: Tensor<1>, bias: Option<Tensor<1>>, eps: f64) -> Tensor<3> {
    let bias = bias.unwrap_or_else(|| Tensor::zeros(weight.dims(), &weight.device().without_autodiff()));
    let [weight, bias] = [weight, bias].map(Tensor::into_dispatch);
    Tensor::from_dispatch(Dispatch::layer_norm_with_bias(x.into_dispatch(), weight, bias, eps))
}

/// Mean of a row, and 1 / √(variance + ε).
#[inline(always)]
fn statistics(x: &[f32], eps: f32) -> (f32, f32) {
    let n = x.len() as f32;
    let mean = sum(x.len(), |i| x[i]) / n;
    let variance = sum(x.len(), |i| (x[i] - mean) * (x[i] - mean)) / n;
    (mean, 1.0 / (variance + eps).sqrt())
}

vectorized! {
    /// (x − mean) r w + b of a row.
    fn forward_row(x: &[f32], w: &[f32], b: &[f32], eps: f32, y: &mut [f32]) {
        let (mean, r) = statistics(x, eps);
        for (((y, x), w), b) in y.iter_mut().zip(x).zip(w).zip(b) {
            *y = (x - mean) * r * w + b;
        }
    }

    /// Gradient of a row, and the row's terms of the gradients of w and b: the halves of `sums`.
    fn gradient_row(x: &[f32], w: &[f32], g: &[f32], eps: f32, dx: &mut [f32], sums: &mut [f32]) {
        let n = x.len();
        let (mean, r) = statistics(x, eps);
        let mean_a = sum(n, |i| g[i] * w[i]) / n as f32;
        let projection = sum(n, |i| g[i] * w[i] * ((x[i] - mean) * r)) / n as f32;
        let (dw, db) = sums.split_at_mut(n);
        for i in 0..n {
            let normal = (x[i] - mean) * r;
            dx[i] = r * (g[i] * w[i] - mean_a - normal * projection);
            dw[i] += g[i] * normal;
            db[i] += g[i];
        }
    }
}

impl LayerNorm for Flex {
    fn layer_norm_with_bias(x: FlexTensor, weight: FlexTensor, bias: FlexTensor, eps: f64) -> FlexTensor {
        let [x, weight, bias] = [x, weight, bias].map(|tensor| tensor.to_contiguous());
        let [xs, w, b] = [&x, &weight, &bias].map(as_f32_slice);
        let mut y = vec![0.0; xs.len()];
        let n = w.len();
        par_fill_rows(&mut y, n, |row, y| forward_row(&xs[row * n..(row + 1) * n], w, b, eps as f32, y));
        f32_tensor(y, x.shape())
    }
}

impl LayerNormGradient for Flex {
    fn layer_norm_gradient(x: FlexTensor, weight: FlexTensor, gradient: FlexTensor, eps: f64) -> [FlexTensor; 3] {
        let [x, weight, gradient] = [x, weight, gradient].map(|tensor| tensor.to_contiguous());
        let [xs, w, g] = [&x, &weight, &gradient].map(as_f32_slice);
        let n = w.len();
        let mut dx = vec![0.0; xs.len()];
        let mut dw = par_fill_and_sum_rows(&mut dx, n, 2 * n, |row, dx, sums| {
            let columns = row * n..(row + 1) * n;
            gradient_row(&xs[columns.clone()], w, &g[columns], eps as f32, dx, sums);
        });
        let db = dw.split_off(n);
        [f32_tensor(dx, x.shape()), f32_tensor(dw, Shape::from([n])), f32_tensor(db, Shape::from([n]))]
    }
}

/// Backward step; stores x and w.
#[derive(Debug)]
struct LayerNormBackward;

impl<B: LayerNormGradient> Backward<B, 3> for LayerNormBackward {
    type State = (FloatTensor<B>, FloatTensor<B>, f64);

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let (x, weight, eps) = ops.state;
        let gradient = grads.consume::<B>(&ops.node);
        for (parent, gradient) in ops.parents.into_iter().zip(B::layer_norm_gradient(x, weight, gradient, eps)) {
            if let Some(node) = parent {
                grads.register::<B>(node.id, gradient);
            }
        }
    }
}

impl<B: LayerNormGradient, C: CheckpointStrategy> LayerNorm for Autodiff<B, C> {
    fn layer_norm_with_bias(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        eps: f64,
    ) -> FloatTensor<Self> {
        let (x, x_node) = x.into_parts();
        let (weight, weight_node) = weight.into_parts();
        let (bias, bias_node) = bias.into_parts();
        let y = B::layer_norm_with_bias(x.clone(), weight.clone(), bias, eps);
        match LayerNormBackward.prepare::<C>([x_node, weight_node, bias_node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish((x, weight, eps), y),
            OpsKind::UnTracked(prep) => prep.finish(y),
        }
    }
}
