//! RMSNorm in one pass forward and one backward.

use crate::cpu::backend_api::{
    Autodiff, Backend, Backward, CheckpointStrategy, Checkpointer, Dispatch, Flex, FlexTensor, FloatTensor, Gradients,
    Ops, OpsKind, TensorMetadata, backend_extension,
};
use crate::cpu::{
    tensor::{as_f32_slice, f32_tensor, par_fill_rows, par_sum_rows},
    vector::{sum, vectorized},
};
use burn::tensor::{Shape, Tensor};

/// The operation, as every backend that can be differentiated through has it.
#[backend_extension(Flex, Autodiff)]
pub trait RmsNorm: Backend {
    /// x / √(mean(x²) + ε) · w over the last dimension.
    fn rms_norm(x: FloatTensor<Self>, weight: FloatTensor<Self>, eps: f64) -> FloatTensor<Self>;
}

/// Its gradient, on the backends that compute.
pub trait RmsNormGradient: RmsNorm {
    /// Gradients of x and w.
    fn rms_norm_gradient(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        eps: f64,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);
}

/// `x [B, T, M]`, `weight [M] → [B, T, M]`. 32-bit floats on flex only.
pub fn rms_norm(x: Tensor<3>, weight: Tensor<1>, eps: f64) -> Tensor<3> {
    Tensor::from_dispatch(Dispatch::rms_norm(x.into_dispatch(), weight.into_dispatch(), eps))
}

vectorized! {
    /// 1 / √(mean(x²) + ε).
    fn inverse_rms(x: &[f32], eps: f32) -> f32 {
        1.0 / (sum(x.len(), |i| x[i] * x[i]) / x.len() as f32 + eps).sqrt()
    }

    fn forward_row(x: &[f32], w: &[f32], eps: f32, y: &mut [f32]) {
        let r = 1.0 / (sum(x.len(), |i| x[i] * x[i]) / x.len() as f32 + eps).sqrt();
        for ((y, x), w) in y.iter_mut().zip(x).zip(w) {
            *y = x * r * w;
        }
    }

    fn input_gradient_row(x: &[f32], w: &[f32], g: &[f32], eps: f32, dx: &mut [f32]) {
        let n = x.len();
        let r = 1.0 / (sum(n, |i| x[i] * x[i]) / n as f32 + eps).sqrt();
        let along = sum(n, |i| g[i] * w[i] * x[i]) * r * r / n as f32;
        for i in 0..n {
            dx[i] = r * (g[i] * w[i] - x[i] * along);
        }
    }

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
        let (x, weight, gradient) = (x.to_contiguous(), weight.to_contiguous(), gradient.to_contiguous());
        let (xs, w, g) = (as_f32_slice(&x), as_f32_slice(&weight), as_f32_slice(&gradient));
        let (n, eps) = (w.len(), eps as f32);
        let part = |row: usize| row * n..(row + 1) * n;
        let mut dx = vec![0.0; xs.len()];
        par_fill_rows(&mut dx, n, |row, dx| input_gradient_row(&xs[part(row)], w, &g[part(row)], eps, dx));
        let dw = par_sum_rows(xs.len() / n, n, |row, dw| {
            add_weight_gradient_row(&xs[part(row)], &g[part(row)], inverse_rms(&xs[part(row)], eps), dw);
        });
        (f32_tensor(dx, x.shape()), f32_tensor(dw, Shape::from([n])))
    }
}

#[derive(Debug)]
struct RmsNormBackward;

impl<B: RmsNormGradient> Backward<B, 2> for RmsNormBackward {
    type State = (FloatTensor<B>, FloatTensor<B>, f64);

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let [of_x, of_w] = ops.parents;
        let (x, weight, eps) = ops.state;
        let gradient = grads.consume::<B>(&ops.node);
        let (dx, dw) = B::rms_norm_gradient(x, weight, gradient, eps);
        if let Some(node) = of_x {
            grads.register::<B>(node.id, dx);
        }
        if let Some(node) = of_w {
            grads.register::<B>(node.id, dw);
        }
    }
}

impl<B: RmsNormGradient, C: CheckpointStrategy> RmsNorm for Autodiff<B, C> {
    fn rms_norm(x: FloatTensor<Self>, weight: FloatTensor<Self>, eps: f64) -> FloatTensor<Self> {
        let ((x, of_x), (weight, of_w)) = (x.into_parts(), weight.into_parts());
        let y = B::rms_norm(x.clone(), weight.clone(), eps);
        match RmsNormBackward.prepare::<C>([of_x, of_w]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish((x, weight, eps), y),
            OpsKind::UnTracked(prep) => prep.finish(y),
        }
    }
}
