//! Cross-entropy in one pass over the logits forward and one backward; the probabilities are never stored.
//!
//! Order of sums: Σ exp over the vocabulary in 16 lanes ([`sum`]), after subtracting the row's maximum, so no exponential
//! overflows and the greatest term is 1. Rows are independent tasks; the backward pass has no sums.

use crate::cpu::backend_api::{
    Autodiff, Backend, Backward, CheckpointStrategy, Checkpointer, Dispatch, Flex, FlexTensor, FloatTensor, Gradients,
    IntTensor, Ops, OpsKind, TensorMetadata, backend_extension,
};
use crate::cpu::{
    tensor::{as_f32_slice, f32_tensor, par_fill_rows},
    vector::{exp, max, sum, vectorized},
};
use burn::tensor::{Int, Shape, Tensor};

/// Operation of [`cross_entropy`] on Burn's backends.
#[backend_extension(Flex, Autodiff)]
pub trait CrossEntropy: Backend {
    /// Cross-entropy of each target: `logits [N, V]`, `targets [N] → [N]`.
    fn cross_entropy(logits: FloatTensor<Self>, targets: IntTensor<Self>) -> FloatTensor<Self>;
}

/// Forward pass with the stored log-sum-exp, and gradient, on backends without autodiff.
pub trait CrossEntropyGradient: CrossEntropy {
    /// Returns the cross-entropy `[N]` and log Σ exp of each row `[N]`, which the gradient needs.
    fn forward_with_log_sum_exp(
        logits: FloatTensor<Self>,
        targets: IntTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);

    /// Returns the gradient of the logits, `[N, V]`, from that of the output, `gradient [N]`.
    fn cross_entropy_gradient(
        logits: FloatTensor<Self>,
        targets: IntTensor<Self>,
        log_sum: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
    ) -> FloatTensor<Self>;
}

/// Cross-entropy of each target in nats: `logits [N, V]`, `targets [N] → [N]`.
///
/// # Panics
/// If the logits aren't f32 on flex, or a target isn't below V.
pub fn cross_entropy(logits: Tensor<2>, targets: Tensor<1, Int>) -> Tensor<1> {
    Tensor::from_dispatch(Dispatch::cross_entropy(logits.into_dispatch(), targets.into_dispatch()))
}

vectorized! {
    /// log Σ exp of a row, shifted by its maximum.
    fn log_sum_exp(row: &[f32]) -> f32 {
        let max = max(row);
        max + sum(row.len(), |i| exp(row[i] - max)).ln()
    }

    /// gradient · softmax of a row; the caller subtracts the target's term.
    fn logits_gradient_row(row: &[f32], log_sum: f32, gradient: f32, out: &mut [f32]) {
        for (o, x) in out.iter_mut().zip(row) {
            *o = gradient * exp(*x - log_sum);
        }
    }
}

/// Targets as 32-bit integers.
fn indices(targets: &FlexTensor) -> &[i32] {
    targets.as_slice::<i32>().expect("contiguous 32-bit integers")
}

impl CrossEntropy for Flex {
    fn cross_entropy(logits: FlexTensor, targets: FlexTensor) -> FlexTensor {
        Self::forward_with_log_sum_exp(logits, targets).0
    }
}

impl CrossEntropyGradient for Flex {
    fn forward_with_log_sum_exp(logits: FlexTensor, targets: FlexTensor) -> (FlexTensor, FlexTensor) {
        let (logits, targets) = (logits.to_contiguous(), targets.to_contiguous());
        let shape = logits.shape();
        let (n, v) = (shape[0], shape[1]);
        let (x, target) = (as_f32_slice(&logits), indices(&targets));
        let mut sums = vec![0.0; n];
        par_fill_rows(&mut sums, 1, |row, out| out[0] = log_sum_exp(&x[row * v..(row + 1) * v]));
        let nats = (0..n).map(|row| sums[row] - x[row * v + target[row] as usize]).collect();
        (f32_tensor(nats, Shape::from([n])), f32_tensor(sums, Shape::from([n])))
    }

    fn cross_entropy_gradient(
        logits: FlexTensor,
        targets: FlexTensor,
        log_sum: FlexTensor,
        gradient: FlexTensor,
    ) -> FlexTensor {
        let (logits, targets) = (logits.to_contiguous(), targets.to_contiguous());
        let gradient = gradient.to_contiguous();
        let (x, target) = (as_f32_slice(&logits), indices(&targets));
        let (sums, g) = (as_f32_slice(&log_sum), as_f32_slice(&gradient));
        let v = logits.shape()[1];
        let mut out = vec![0.0; x.len()];
        par_fill_rows(&mut out, v, |row, out| {
            // Padding has gradient 0; its row stays 0.
            if g[row] != 0.0 {
                logits_gradient_row(&x[row * v..(row + 1) * v], sums[row], g[row], out);
                out[target[row] as usize] -= g[row];
            }
        });
        f32_tensor(out, logits.shape())
    }
}

/// Backward step; stores logits, targets and log-sum-exps.
#[derive(Debug)]
struct CrossEntropyBackward;

impl<B: CrossEntropyGradient> Backward<B, 1> for CrossEntropyBackward {
    type State = (FloatTensor<B>, IntTensor<B>, FloatTensor<B>);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let [parent] = ops.parents;
        let (logits, targets, log_sum) = ops.state;
        let gradient = grads.consume::<B>(&ops.node);
        if let Some(node) = parent {
            grads.register::<B>(node.id, B::cross_entropy_gradient(logits, targets, log_sum, gradient));
        }
    }
}

impl<B: CrossEntropyGradient, C: CheckpointStrategy> CrossEntropy for Autodiff<B, C> {
    fn cross_entropy(logits: FloatTensor<Self>, targets: IntTensor<Self>) -> FloatTensor<Self> {
        let (logits, node) = logits.into_parts();
        let (nats, log_sum) = B::forward_with_log_sum_exp(logits.clone(), targets.clone());
        match CrossEntropyBackward.prepare::<C>([node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish((logits, targets, log_sum), nats),
            OpsKind::UnTracked(prep) => prep.finish(nats),
        }
    }
}
