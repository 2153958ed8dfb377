//! SwiGLU gate in one pass forward and one pass for each gradient.
//!
//! Both inputs are stored for the backward pass, σ(gate) is computed again: an exponential costs less than reading another
//! tensor from memory.

use crate::cpu::backend_api::{
    Autodiff, Backend, Backward, CheckpointStrategy, Checkpointer, Dispatch, Flex, FlexTensor, FloatTensor, Gradients,
    Ops, OpsKind, TensorMetadata, backend_extension,
};
use crate::cpu::{
    tensor::{as_f32_slice, f32_tensor, par_fill_rows},
    vector::{sigmoid, vectorized},
};
use burn::tensor::Tensor;

/// Operation of [`silu_gate`] on Burn's backends.
#[backend_extension(Flex, Autodiff)]
pub trait SiluGate: Backend {
    /// silu(gate) ⊙ up, tensors of equal shape.
    fn silu_gate(gate: FloatTensor<Self>, up: FloatTensor<Self>) -> FloatTensor<Self>;
}

/// Gradient of the gate, on backends without autodiff.
pub trait SiluGateGradient: SiluGate {
    /// Returns the gradients of gate and up, in their shape.
    fn silu_gate_gradient(
        gate: FloatTensor<Self>,
        up: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);
}

/// silu(gate) ⊙ up, `[B, T, N] → [B, T, N]`.
///
/// # Panics
/// If a tensor isn't f32 on flex.
pub fn silu_gate(gate: Tensor<3>, up: Tensor<3>) -> Tensor<3> {
    Tensor::from_dispatch(Dispatch::silu_gate(gate.into_dispatch(), up.into_dispatch()))
}

/// Values in one chunk: 4 KiB, so that the three slices of a chunk stay in the L1 cache. A task runs 16 chunks.
const CHUNK: usize = 1024;

vectorized! {
    /// out = a σ(a) b. With the output's gradient as b it is the gradient of up.
    fn silu_gate_chunk(gate: &[f32], up: &[f32], out: &mut [f32]) {
        for ((o, a), b) in out.iter_mut().zip(gate).zip(up) {
            *o = a * sigmoid(*a) * b;
        }
    }

    /// out = g b s (1 + a (1 − s)), s = σ(a).
    fn gate_gradient_chunk(gate: &[f32], up: &[f32], g: &[f32], out: &mut [f32]) {
        for (((o, a), b), g) in out.iter_mut().zip(gate).zip(up).zip(g) {
            let s = sigmoid(*a);
            *o = g * b * s * (1.0 + a * (1.0 - s));
        }
    }
}

/// Chunk number `index` of a slice; the last one may be shorter.
fn chunk(values: &[f32], index: usize) -> &[f32] {
    &values[index * CHUNK..values.len().min((index + 1) * CHUNK)]
}

impl SiluGate for Flex {
    fn silu_gate(gate: FlexTensor, up: FlexTensor) -> FlexTensor {
        let (gate, up) = (gate.to_contiguous(), up.to_contiguous());
        let (a, b) = (as_f32_slice(&gate), as_f32_slice(&up));
        let mut out = vec![0.0; a.len()];
        par_fill_rows(&mut out, CHUNK, |i, out| silu_gate_chunk(chunk(a, i), chunk(b, i), out));
        f32_tensor(out, gate.shape())
    }
}

impl SiluGateGradient for Flex {
    fn silu_gate_gradient(gate: FlexTensor, up: FlexTensor, gradient: FlexTensor) -> (FlexTensor, FlexTensor) {
        let gate = gate.to_contiguous();
        let up = up.to_contiguous();
        let gradient = gradient.to_contiguous();
        let a = as_f32_slice(&gate);
        let b = as_f32_slice(&up);
        let g = as_f32_slice(&gradient);
        let (mut da, mut db) = (vec![0.0; a.len()], vec![0.0; a.len()]);
        par_fill_rows(&mut da, CHUNK, |i, out| gate_gradient_chunk(chunk(a, i), chunk(b, i), chunk(g, i), out));
        par_fill_rows(&mut db, CHUNK, |i, out| silu_gate_chunk(chunk(a, i), chunk(g, i), out));
        (f32_tensor(da, gate.shape()), f32_tensor(db, gate.shape()))
    }
}

/// Backward step; stores gate and up.
#[derive(Debug)]
struct SiluGateBackward;

impl<B: SiluGateGradient> Backward<B, 2> for SiluGateBackward {
    type State = (FloatTensor<B>, FloatTensor<B>);

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let [gate_node, up_node] = ops.parents;
        let gradient = grads.consume::<B>(&ops.node);
        let (gate, up) = B::silu_gate_gradient(ops.state.0, ops.state.1, gradient);
        if let Some(node) = gate_node {
            grads.register::<B>(node.id, gate);
        }
        if let Some(node) = up_node {
            grads.register::<B>(node.id, up);
        }
    }
}

impl<B: SiluGateGradient, C: CheckpointStrategy> SiluGate for Autodiff<B, C> {
    fn silu_gate(gate: FloatTensor<Self>, up: FloatTensor<Self>) -> FloatTensor<Self> {
        let (gate, gate_node) = gate.into_parts();
        let (up, up_node) = up.into_parts();
        let y = B::silu_gate(gate.clone(), up.clone());
        match SiluGateBackward.prepare::<C>([gate_node, up_node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish((gate, up), y),
            OpsKind::UnTracked(prep) => prep.finish(y),
        }
    }
}
