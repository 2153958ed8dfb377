//! End of a gated network with its own backward pass, which computes the gate's product again.
//!
//! Order of sums: inside three matrix products ([`MatrixMut::par_gemm`]), the same that a linear map runs.

use crate::cpu::{
    backend_api::{
        Autodiff, Backend, Backward, CheckpointStrategy, Checkpointer, Dispatch, Flex, FlexTensor, FloatTensor,
        Gradients, Ops, OpsKind, TensorMetadata, backend_extension,
    },
    matrix::{MatrixMut, MatrixRef},
    tensor::{as_f32_slice, f32_tensor},
};
use crate::silu_gate::fused::{SiluGate, SiluGateGradient};
use burn::tensor::{Shape, Tensor};

/// Operation of [`gated_linear`] on Burn's backends.
#[backend_extension(Flex, Autodiff)]
pub trait GatedLinear: Backend {
    /// (silu(gate) ⊙ up) W: `[B, T, N]`, `weight [N, M] → [B, T, M]`.
    fn gated_linear(gate: FloatTensor<Self>, up: FloatTensor<Self>, weight: FloatTensor<Self>) -> FloatTensor<Self>;
}

/// Gradient of the operation, on backends without autodiff.
pub trait GatedLinearGradient: GatedLinear {
    /// Returns the gradients of gate and up, in their shape, and that of the weight if it is wanted.
    fn gated_linear_gradient(
        gate: FloatTensor<Self>,
        up: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        wants_weight: bool,
    ) -> [Option<FloatTensor<Self>>; 3];
}

/// (silu(gate) ⊙ up) W of two tensors `[B, T, N]` with `weight [N, M]`; returns `[B, T, M]`.
///
/// # Panics
/// If a tensor isn't f32 on flex, or shapes don't match.
pub fn gated_linear(gate: Tensor<3>, up: Tensor<3>, weight: Tensor<2>) -> Tensor<3> {
    let [gate, up] = [gate, up].map(Tensor::into_dispatch);
    Tensor::from_dispatch(Dispatch::gated_linear(gate, up, weight.into_dispatch()))
}

/// Left · right, row-major.
fn product(left: MatrixRef, right: MatrixRef) -> Vec<f32> {
    let size = [left.shape[0], right.shape[1]];
    let mut out = vec![0.0; size[0] * size[1]];
    MatrixMut::row_major(&mut out, size).par_gemm(left, right, 1.0, false);
    out
}

/// A contiguous tensor `[…, width]` as a matrix of rows.
fn rows(tensor: &FlexTensor, width: usize) -> MatrixRef<'_> {
    let values = as_f32_slice(tensor);
    MatrixRef::row_major(values, [values.len() / width.max(1), width])
}

impl GatedLinear for Flex {
    fn gated_linear(gate: FlexTensor, up: FlexTensor, weight: FlexTensor) -> FlexTensor {
        let shape = gate.shape();
        let gated = Self::silu_gate(gate, up);
        let weight = MatrixRef::of(&weight);
        let out = product(rows(&gated, weight.shape[0]), weight);
        f32_tensor(out, Shape::from([shape[0], shape[1], weight.shape[1]]))
    }
}

impl GatedLinearGradient for Flex {
    fn gated_linear_gradient(
        gate: FlexTensor,
        up: FlexTensor,
        weight: FlexTensor,
        gradient: FlexTensor,
        wants_weight: bool,
    ) -> [Option<FlexTensor>; 3] {
        let gradient = gradient.to_contiguous();
        let matrix = MatrixRef::of(&weight);
        let [inputs, outputs] = matrix.shape;
        let gradient_rows = rows(&gradient, outputs);
        let weight_gradient = wants_weight.then(|| {
            let gated = Self::silu_gate(gate.clone(), up.clone());
            f32_tensor(product(rows(&gated, inputs).transposed(), gradient_rows), weight.shape())
        });
        let gated_gradient = f32_tensor(product(gradient_rows, matrix.transposed()), gate.shape());
        let (gate, up) = Self::silu_gate_gradient(gate, up, gated_gradient);
        [Some(gate), Some(up), weight_gradient]
    }
}

/// Backward step; stores gate, up and weight (shared, not copied).
#[derive(Debug)]
struct GatedLinearBackward;

impl<B: GatedLinearGradient> Backward<B, 3> for GatedLinearBackward {
    type State = [FloatTensor<B>; 3];

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let [gate, up, weight] = ops.state;
        let gradient = grads.consume::<B>(&ops.node);
        let gradients = B::gated_linear_gradient(gate, up, weight, gradient, ops.parents[2].is_some());
        for (parent, gradient) in ops.parents.into_iter().zip(gradients) {
            if let (Some(node), Some(gradient)) = (parent, gradient) {
                grads.register::<B>(node.id, gradient);
            }
        }
    }
}

impl<B: GatedLinearGradient, C: CheckpointStrategy> GatedLinear for Autodiff<B, C> {
    fn gated_linear(gate: FloatTensor<Self>, up: FloatTensor<Self>, weight: FloatTensor<Self>) -> FloatTensor<Self> {
        let (gate, gate_node) = gate.into_parts();
        let (up, up_node) = up.into_parts();
        let (weight, weight_node) = weight.into_parts();
        let y = B::gated_linear(gate.clone(), up.clone(), weight.clone());
        match GatedLinearBackward.prepare::<C>([gate_node, up_node, weight_node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish([gate, up, weight], y),
            OpsKind::UnTracked(prep) => prep.finish(y),
        }
    }
}
