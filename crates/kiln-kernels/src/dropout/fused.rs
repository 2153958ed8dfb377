//! Dropout in one pass: the mask is drawn and applied chunk by chunk, forward and backward.

use super::{Dropout, NUMBERS};
use crate::cpu::backend_api::{
    Autodiff, Backend, Backward, CheckpointStrategy, Checkpointer, Dispatch, Flex, FlexTensor, FloatTensor, Gradients,
    Ops, OpsKind, TensorMetadata, backend_extension,
};
use crate::cpu::tensor::{as_f32_slice, f32_tensor, par_fill_rows};
use burn::tensor::Tensor;

/// Operation of [`dropout`] on Burn's backends.
#[backend_extension(Flex, Autodiff)]
pub trait DropoutOperation: Backend {
    /// x ⊙ mask.
    fn dropout(x: FloatTensor<Self>, dropout: Dropout) -> FloatTensor<Self>;
}

/// Dropout of `x`.
///
/// # Panics
/// If the tensor isn't f32 on flex.
pub fn dropout<const D: usize>(x: Tensor<D>, dropout: &Dropout) -> Tensor<D> {
    Tensor::from_dispatch(Dispatch::dropout(x.into_dispatch(), dropout.clone()))
}

impl DropoutOperation for Flex {
    fn dropout(x: FlexTensor, dropout: Dropout) -> FlexTensor {
        let x = x.to_contiguous();
        let xs = as_f32_slice(&x);
        let mut out = vec![0.0; xs.len()];
        par_fill_rows(&mut out, NUMBERS, |row, out| {
            let first = row * NUMBERS;
            dropout.fill_factors(first, out);
            // A product, not a choice: a dropped NaN stays NaN, as in the reference.
            out.iter_mut().zip(&xs[first..]).for_each(|(factor, x)| *factor *= x);
        });
        f32_tensor(out, x.shape())
    }
}

/// Backward step; stores the key of the mask. The gradient is the dropout of the output's gradient.
#[derive(Debug)]
struct DropoutBackward;

impl<B: DropoutOperation> Backward<B, 1> for DropoutBackward {
    type State = Dropout;

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let [parent] = ops.parents;
        let gradient = grads.consume::<B>(&ops.node);
        if let Some(node) = parent {
            grads.register::<B>(node.id, B::dropout(gradient, ops.state));
        }
    }
}

impl<B: DropoutOperation, C: CheckpointStrategy> DropoutOperation for Autodiff<B, C> {
    fn dropout(x: FloatTensor<Self>, dropout: Dropout) -> FloatTensor<Self> {
        let (x, node) = x.into_parts();
        let y = B::dropout(x, dropout.clone());
        match DropoutBackward.prepare::<C>([node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish(dropout, y),
            OpsKind::UnTracked(prep) => prep.finish(y),
        }
    }
}
