//! RMSNorm in one pass forward and one backward.
//!
//! Order of sums: over a row in 16 lanes ([`sum`]); the weight's gradient over rows in blocks of fixed size
//! ([`par_sum_rows`]: 16,384 / M rows per block). Both depend on the shape alone, so the bits are the same for any number of
//! threads (`threads_change_no_bit`). r is computed again in the backward pass instead of stored: it costs one pass over a
//! row that the gradient reads anyway.

use crate::cpu::backend_api::{
    Autodiff, Backend, Backward, CheckpointStrategy, Checkpointer, Dispatch, Flex, FlexTensor, FloatTensor, Gradients,
    Ops, OpsKind, TensorMetadata, backend_extension,
};
use crate::cpu::{
    tensor::{as_f32_slice, f32_tensor, par_fill_rows, par_sum_rows},
    vector::{sum, vectorized},
};
use burn::tensor::{Shape, Tensor};

/// Operation of [`rms_norm`] on Burn's backends.
#[backend_extension(Flex, Autodiff)]
pub trait RmsNorm: Backend {
    /// x / √(mean(x²) + ε) ⊙ w over the last dimension.
    fn rms_norm(x: FloatTensor<Self>, weight: FloatTensor<Self>, eps: f64) -> FloatTensor<Self>;
}

/// Gradient of RMSNorm, on backends without autodiff.
pub trait RmsNormGradient: RmsNorm {
    /// Returns the gradients of x, in its shape, and of w `[M]`.
    fn rms_norm_gradient(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        eps: f64,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);
}

/// RMSNorm of `x [B, T, M]` with `weight [M]`; returns `[B, T, M]`.
///
/// # Panics
/// If a tensor isn't f32 on flex.
pub fn rms_norm(x: Tensor<3>, weight: Tensor<1>, eps: f64) -> Tensor<3> {
    Tensor::from_dispatch(Dispatch::rms_norm(x.into_dispatch(), weight.into_dispatch(), eps))
}

vectorized! {
    /// r = 1 / √(mean(x²) + ε) of a row.
    fn inverse_rms(x: &[f32], eps: f32) -> f32 {
        1.0 / (sum(x.len(), |i| x[i] * x[i]) / x.len() as f32 + eps).sqrt()
    }

    /// x r w of a row.
    fn forward_row(x: &[f32], w: &[f32], eps: f32, y: &mut [f32]) {
        let r = 1.0 / (sum(x.len(), |i| x[i] * x[i]) / x.len() as f32 + eps).sqrt();
        for ((y, x), w) in y.iter_mut().zip(x).zip(w) {
            *y = x * r * w;
        }
    }

    /// r (g w − x r² / M Σ g w x) of a row.
    fn input_gradient_row(x: &[f32], w: &[f32], g: &[f32], eps: f32, dx: &mut [f32]) {
        let n = x.len();
        let r = 1.0 / (sum(n, |i| x[i] * x[i]) / n as f32 + eps).sqrt();
        let projection = sum(n, |i| g[i] * w[i] * x[i]) * r * r / n as f32;
        for i in 0..n {
            dx[i] = r * (g[i] * w[i] - x[i] * projection);
        }
    }

    /// Adds g x r of a row to the weight's gradient.
    fn add_weight_gradient_row(x: &[f32], g: &[f32], r: f32, dw: &mut [f32]) {
        for ((dw, x), g) in dw.iter_mut().zip(x).zip(g) {
            *dw += g * x * r;
        }
    }
}

impl RmsNorm for Flex {
    fn rms_norm(x: FlexTensor, weight: FlexTensor, eps: f64) -> FlexTensor {
        let (x, weight) = (x.to_contiguous(), weight.to_contiguous());
        let (xs, w) = (as_f32_slice(&x), as_f32_slice(&weight));
        let mut y = vec![0.0; xs.len()];
        let n = w.len();
        par_fill_rows(&mut y, n, |row, y| forward_row(&xs[row * n..(row + 1) * n], w, eps as f32, y));
        f32_tensor(y, x.shape())
    }
}

impl RmsNormGradient for Flex {
    fn rms_norm_gradient(
        x: FlexTensor,
        weight: FlexTensor,
        gradient: FlexTensor,
        eps: f64,
    ) -> (FlexTensor, FlexTensor) {
        let x = x.to_contiguous();
        let weight = weight.to_contiguous();
        let gradient = gradient.to_contiguous();
        let xs = as_f32_slice(&x);
        let w = as_f32_slice(&weight);
        let g = as_f32_slice(&gradient);
        let (n, eps) = (w.len(), eps as f32);
        let mut dx = vec![0.0; xs.len()];
        par_fill_rows(&mut dx, n, |row, dx| {
            let columns = row * n..(row + 1) * n;
            input_gradient_row(&xs[columns.clone()], w, &g[columns], eps, dx);
        });
        let dw = par_sum_rows(xs.len() / n, n, |row, dw| {
            let columns = row * n..(row + 1) * n;
            let x = &xs[columns.clone()];
            add_weight_gradient_row(x, &g[columns], inverse_rms(x, eps), dw);
        });
        (f32_tensor(dx, x.shape()), f32_tensor(dw, Shape::from([n])))
    }
}

/// Backward step; stores x and w.
#[derive(Debug)]
struct RmsNormBackward;

impl<B: RmsNormGradient> Backward<B, 2> for RmsNormBackward {
    type State = (FloatTensor<B>, FloatTensor<B>, f64);

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let [x_node, weight_node] = ops.parents;
        let (x, weight, eps) = ops.state;
        let gradient = grads.consume::<B>(&ops.node);
        let (dx, dw) = B::rms_norm_gradient(x, weight, gradient, eps);
        if let Some(node) = x_node {
            grads.register::<B>(node.id, dx);
        }
        if let Some(node) = weight_node {
            grads.register::<B>(node.id, dw);
        }
    }
}

impl<B: RmsNormGradient, C: CheckpointStrategy> RmsNorm for Autodiff<B, C> {
    fn rms_norm(x: FloatTensor<Self>, weight: FloatTensor<Self>, eps: f64) -> FloatTensor<Self> {
        let (x, x_node) = x.into_parts();
        let (weight, weight_node) = weight.into_parts();
        let y = B::rms_norm(x.clone(), weight.clone(), eps);
        match RmsNormBackward.prepare::<C>([x_node, weight_node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish((x, weight, eps), y),
            OpsKind::UnTracked(prep) => prep.finish(y),
        }
    }
}
