//! Gated RMSNorm in one pass forward and one backward.
//!
//! x, gate and weight are stored for the backward pass, p and r are computed again. Order of sums: over a part in 16 lanes
//! ([`sum`]); the weight's gradient over rows in blocks of fixed size ([`par_new_rows_and_sum`]). The bits are the same for any
//! number of threads (`threads_change_no_bit`), and those of SiLU gate and RMSNorm one after the other.

use crate::cpu::backend_api::{
    Autodiff, Backend, Backward, CheckpointStrategy, Checkpointer, Dispatch, Flex, FlexTensor, FloatTensor, Gradients,
    Ops, OpsKind, TensorMetadata, backend_extension,
};
use crate::cpu::{
    tensor::{as_f32_slice, f32_tensor, par_new_rows, par_new_rows_and_sum},
    vector::{sigmoid, sum, vectorized},
};
use burn::tensor::{Shape, Tensor};

/// Operation of [`gated_rms_norm`] on Burn's backends.
#[backend_extension(Flex, Autodiff)]
pub trait GatedRmsNorm: Backend {
    /// RMSNorm of x ⊙ silu(gate), in `parts` parts of the last dimension, times w.
    fn gated_rms_norm(
        x: FloatTensor<Self>,
        gate: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        parts: usize,
        eps: f64,
    ) -> FloatTensor<Self>;
}

/// Gradient of the operation, on backends without autodiff.
pub trait GatedRmsNormGradient: GatedRmsNorm {
    /// Returns the gradients of x and gate, in their shape, and of w `[I]`. `inputs` are x, gate and w.
    fn gated_rms_norm_gradient(
        inputs: [FloatTensor<Self>; 3],
        gradient: FloatTensor<Self>,
        parts: usize,
        eps: f64,
    ) -> [FloatTensor<Self>; 3];
}

/// RMSNorm of x ⊙ silu(gate), `[B, T, I]`, in `parts` parts, times `weight [I]`; returns `[B, T, I]`.
///
/// # Panics
/// If a tensor isn't f32 on flex, or `parts` doesn't divide I.
pub fn gated_rms_norm(x: Tensor<3>, gate: Tensor<3>, weight: Tensor<1>, parts: usize, eps: f64) -> Tensor<3> {
    assert!(parts > 0 && weight.dims()[0].is_multiple_of(parts), "equal parts of the channels");
    let [x, gate] = [x, gate].map(Tensor::into_dispatch);
    Tensor::from_dispatch(Dispatch::gated_rms_norm(x, gate, weight.into_dispatch(), parts, eps))
}

/// Writes p = x silu(z) of a part, and returns r.
#[inline(always)]
fn write_products(x: &[f32], z: &[f32], eps: f32, p: &mut [f32]) -> f32 {
    for ((p, x), z) in p.iter_mut().zip(x).zip(z) {
        *p = z * sigmoid(*z) * x;
    }
    1.0 / (sum(p.len(), |i| p[i] * p[i]) / p.len() as f32 + eps).sqrt()
}

/// Inputs of a row and the gradient of its output, `[I]` each.
struct Row<'a> {
    x: &'a [f32],
    z: &'a [f32],
    w: &'a [f32],
    g: &'a [f32],
}

vectorized! {
    /// p r w of a row, whose parts have `width` channels.
    fn forward_row(x: &[f32], z: &[f32], w: &[f32], width: usize, eps: f32, y: &mut [f32]) {
        let parts = x.chunks_exact(width).zip(z.chunks_exact(width)).zip(w.chunks_exact(width));
        for (y, ((x, z), w)) in y.chunks_exact_mut(width).zip(parts) {
            let r = write_products(x, z, eps, y);
            for (y, w) in y.iter_mut().zip(w) {
                *y = *y * r * w;
            }
        }
    }

    /// Gradients of x and gate of a row, whose parts have `width` channels; adds g p r to that of w.
    fn gradient_row(row: Row<'_>, width: usize, eps: f32, dx: &mut [f32], dz: &mut [f32], dw: &mut [f32]) {
        for first in (0..dx.len()).step_by(width) {
            let part = first..first + width;
            let [x, z, w, g] = [row.x, row.z, row.w, row.g].map(|values| &values[part.clone()]);
            let (dx, dz, dw) = (&mut dx[part.clone()], &mut dz[part.clone()], &mut dw[part]);
            // p in the memory of dx.
            let r = write_products(x, z, eps, dx);
            let projection = sum(width, |i| g[i] * w[i] * dx[i]) * r * r / width as f32;
            for i in 0..width {
                let (p, s) = (dx[i], sigmoid(z[i]));
                let dp = r * (g[i] * w[i] - p * projection);
                dw[i] += g[i] * p * r;
                dx[i] = z[i] * s * dp;
                dz[i] = dp * x[i] * s * (1.0 + z[i] * (1.0 - s));
            }
        }
    }
}

impl GatedRmsNorm for Flex {
    fn gated_rms_norm(x: FlexTensor, gate: FlexTensor, weight: FlexTensor, parts: usize, eps: f64) -> FlexTensor {
        let [x, gate, weight] = [x, gate, weight].map(|tensor| tensor.to_contiguous());
        let [xs, z, w] = [&x, &gate, &weight].map(as_f32_slice);
        let n = w.len();
        let y = par_new_rows(xs.len(), n, |row, y| {
            let columns = row * n..(row + 1) * n;
            forward_row(&xs[columns.clone()], &z[columns], w, n / parts, eps as f32, y);
        });
        f32_tensor(y, x.shape())
    }
}

impl GatedRmsNormGradient for Flex {
    fn gated_rms_norm_gradient(
        inputs: [FlexTensor; 3],
        gradient: FlexTensor,
        parts: usize,
        eps: f64,
    ) -> [FlexTensor; 3] {
        let [x, gate, weight] = inputs.map(|tensor| tensor.to_contiguous());
        let gradient = gradient.to_contiguous();
        let [xs, z, w, g] = [&x, &gate, &weight, &gradient].map(as_f32_slice);
        let n = w.len();
        let ([dx, dz], dw) = par_new_rows_and_sum(xs.len(), n, n, |row, [dx, dz], dw| {
            let columns = row * n..(row + 1) * n;
            let row = Row { x: &xs[columns.clone()], z: &z[columns.clone()], w, g: &g[columns] };
            gradient_row(row, n / parts, eps as f32, dx, dz, dw);
        });
        [f32_tensor(dx, x.shape()), f32_tensor(dz, x.shape()), f32_tensor(dw, Shape::from([n]))]
    }
}

/// Backward step; stores x, gate and w.
#[derive(Debug)]
struct GatedRmsNormBackward;

impl<B: GatedRmsNormGradient> Backward<B, 3> for GatedRmsNormBackward {
    type State = ([FloatTensor<B>; 3], usize, f64);

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let (inputs, parts, eps) = ops.state;
        let gradient = grads.consume::<B>(&ops.node);
        let gradients = B::gated_rms_norm_gradient(inputs, gradient, parts, eps);
        for (parent, gradient) in ops.parents.into_iter().zip(gradients) {
            if let Some(node) = parent {
                grads.register::<B>(node.id, gradient);
            }
        }
    }
}

impl<B: GatedRmsNormGradient, C: CheckpointStrategy> GatedRmsNorm for Autodiff<B, C> {
    fn gated_rms_norm(
        x: FloatTensor<Self>,
        gate: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        parts: usize,
        eps: f64,
    ) -> FloatTensor<Self> {
        let [(x, x_node), (gate, gate_node), (weight, weight_node)] =
            [x, gate, weight].map(|tensor| tensor.into_parts());
        let y = B::gated_rms_norm(x.clone(), gate.clone(), weight.clone(), parts, eps);
        match GatedRmsNormBackward.prepare::<C>([x_node, gate_node, weight_node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish(([x, gate, weight], parts, eps), y),
            OpsKind::UnTracked(prep) => prep.finish(y),
        }
    }
}
