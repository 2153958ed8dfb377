//! Log-sigmoid in one pass forward and one backward. The input is stored for the backward pass.

use crate::cpu::backend_api::{
    Autodiff, Backend, Backward, CheckpointStrategy, Checkpointer, Dispatch, Flex, FlexTensor, FloatTensor, Gradients,
    Ops, OpsKind, TensorMetadata, backend_extension,
};
use crate::cpu::{
    tensor::{as_f32_slice, f32_tensor, par_fill_rows},
    vector::{exp, sigmoid, vectorized},
};
use burn::tensor::Tensor;

/// Operation of [`log_sigmoid`] on Burn's backends.
#[backend_extension(Flex, Autodiff)]
pub trait LogSigmoid: Backend {
    /// ln σ(x) of every element.
    fn fused_log_sigmoid(x: FloatTensor<Self>) -> FloatTensor<Self>;
}

/// Gradient of the log-sigmoid, on backends without autodiff.
pub trait LogSigmoidGradient: LogSigmoid {
    /// Returns the gradient of x, in its shape.
    fn fused_log_sigmoid_gradient(x: FloatTensor<Self>, gradient: FloatTensor<Self>) -> FloatTensor<Self>;
}

/// ln σ(x) of every element.
///
/// # Panics
/// If the tensor isn't f32 on flex.
pub fn log_sigmoid<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    Tensor::from_dispatch(Dispatch::fused_log_sigmoid(x.into_dispatch()))
}

/// Values in one chunk: 4 KiB.
const CHUNK: usize = 1024;

/// ln(1 + y) for 0 ≤ y ≤ 1, with a relative error below 3·10⁻⁷ (tested): 2 artanh(s) with s = y / (2 + y) ≤ 1/3, as a
/// series of eight terms. Small y lose nothing.
#[inline(always)]
fn ln_1p(y: f32) -> f32 {
    let s = y / (2.0 + y);
    let square = s * s;
    let mut series = 1.0 / 15.0;
    for divisor in [13.0f32, 11.0, 9.0, 7.0, 5.0, 3.0, 1.0] {
        series = series * square + 1.0 / divisor;
    }
    2.0 * s * series
}

vectorized! {
    /// min(x, 0) − ln(1 + e^−|x|).
    fn log_sigmoid_chunk(x: &[f32], out: &mut [f32]) {
        for (out, x) in out.iter_mut().zip(x) {
            *out = x.min(0.0) - ln_1p(exp(-x.abs()));
        }
    }

    /// g σ(−x).
    fn gradient_chunk(x: &[f32], g: &[f32], out: &mut [f32]) {
        for ((out, x), g) in out.iter_mut().zip(x).zip(g) {
            *out = g * sigmoid(-*x);
        }
    }
}

/// Chunk number `index` of a slice; the last one may be shorter.
fn chunk(values: &[f32], index: usize) -> &[f32] {
    &values[index * CHUNK..values.len().min((index + 1) * CHUNK)]
}

impl LogSigmoid for Flex {
    fn fused_log_sigmoid(x: FlexTensor) -> FlexTensor {
        let x = x.to_contiguous();
        let values = as_f32_slice(&x);
        let mut out = vec![0.0; values.len()];
        par_fill_rows(&mut out, CHUNK, |i, out| log_sigmoid_chunk(chunk(values, i), out));
        f32_tensor(out, x.shape())
    }
}

impl LogSigmoidGradient for Flex {
    fn fused_log_sigmoid_gradient(x: FlexTensor, gradient: FlexTensor) -> FlexTensor {
        let (x, gradient) = (x.to_contiguous(), gradient.to_contiguous());
        let (values, g) = (as_f32_slice(&x), as_f32_slice(&gradient));
        let mut out = vec![0.0; values.len()];
        par_fill_rows(&mut out, CHUNK, |i, out| gradient_chunk(chunk(values, i), chunk(g, i), out));
        f32_tensor(out, x.shape())
    }
}

/// Backward step; stores x.
#[derive(Debug)]
struct LogSigmoidBackward;

impl<B: LogSigmoidGradient> Backward<B, 1> for LogSigmoidBackward {
    type State = FloatTensor<B>;

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let [node] = ops.parents;
        let gradient = grads.consume::<B>(&ops.node);
        if let Some(node) = node {
            grads.register::<B>(node.id, B::fused_log_sigmoid_gradient(ops.state, gradient));
        }
    }
}

impl<B: LogSigmoidGradient, C: CheckpointStrategy> LogSigmoid for Autodiff<B, C> {
    fn fused_log_sigmoid(x: FloatTensor<Self>) -> FloatTensor<Self> {
        let (x, node) = x.into_parts();
        let y = B::fused_log_sigmoid(x.clone());
        match LogSigmoidBackward.prepare::<C>([node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish(x, y),
            OpsKind::UnTracked(prep) => prep.finish(y),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ln_1p_is_within_its_error_bound() {
        for i in 0..=100_000 {
            let y = (i as f32 / 100_000.0).powi(3);
            let exact = f64::from(y).ln_1p();
            assert!((f64::from(ln_1p(y)) - exact).abs() <= 3e-7 * exact, "{y}");
        }
    }
}
