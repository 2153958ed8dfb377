//! An operation that keeps nothing: its backward pass makes what it needs again (1604.06174).
//!
//! Whoever asks for it has computed the output without a graph, and says how gradients are pulled back through it: by
//! running the part once more on fresh leaves, with a backward pass of its own within this one.

use crate::cpu::backend_api::{
    Autodiff, Backend, Backward, CheckpointStrategy, Checkpointer, Dispatch, Flex, FloatTensor, Gradients, Ops,
    OpsKind, backend_extension,
};
use burn::tensor::Tensor;
use std::{fmt, sync::Arc};

/// Gradients of the inputs from the output's, all without autodiff, and from how deep in the graph the inputs lie (0: a
/// leaf), on which the order of sums depends. `None`: an input without a gradient.
pub type Vjp = dyn Fn(Tensor<1>, [usize; 2]) -> [Option<Tensor<3>>; 2] + Send + Sync;

/// The way back, as the operation carries it.
#[derive(Clone)]
pub struct SharedVjp(Arc<Vjp>);

impl fmt::Debug for SharedVjp {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("Back")
    }
}

/// The output `[n]` as a function of the inputs, of which at least one is tracked; `out` is tracked nowhere.
pub fn recompute(inputs: [Tensor<3>; 2], out: Tensor<1>, pull: Arc<Vjp>) -> Tensor<1> {
    let [first, second] = inputs.map(Tensor::into_dispatch);
    Tensor::from_dispatch(Dispatch::recompute(first, second, out.into_dispatch(), SharedVjp(pull)))
}

/// The operation, as every backend that can be differentiated through has it.
#[backend_extension(Flex, Autodiff)]
pub trait Recompute: Backend {
    /// Hands on `out`.
    fn recompute(
        _first: FloatTensor<Self>,
        _second: FloatTensor<Self>,
        out: FloatTensor<Self>,
        _back: SharedVjp,
    ) -> FloatTensor<Self> {
        out
    }
}

impl Recompute for Flex {}

/// A backend whose tensors can be Burn's own and back: a line each.
pub trait PrimitiveConversion: Recompute {
    /// To a tensor of `n` numbers.
    fn wrap_primitive(primitive: FloatTensor<Self>) -> Tensor<1>;
    /// From one.
    fn unwrap_primitive(tensor: Tensor<3>) -> FloatTensor<Self>;
}

impl PrimitiveConversion for Flex {
    fn wrap_primitive(primitive: FloatTensor<Self>) -> Tensor<1> {
        Tensor::from_primitive::<Self>(primitive)
    }

    fn unwrap_primitive(tensor: Tensor<3>) -> FloatTensor<Self> {
        tensor.try_into_primitive::<Self>().expect("gradients are where their tensors are")
    }
}

#[derive(Debug)]
struct RecomputeBlock;

impl<B: PrimitiveConversion> Backward<B, 2> for RecomputeBlock {
    type State = SharedVjp;

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let gradient = B::wrap_primitive(grads.consume::<B>(&ops.node));
        let depths = ops.parents.each_ref().map(|parent| parent.as_ref().map_or(0, |node| node.order));
        for (parent, found) in ops.parents.into_iter().zip((ops.state.0)(gradient, depths)) {
            if let (Some(node), Some(found)) = (parent, found) {
                grads.register::<B>(node.id, B::unwrap_primitive(found));
            }
        }
    }
}

impl<B: PrimitiveConversion, C: CheckpointStrategy> Recompute for Autodiff<B, C> {
    fn recompute(
        first: FloatTensor<Self>,
        second: FloatTensor<Self>,
        out: FloatTensor<Self>,
        back: SharedVjp,
    ) -> FloatTensor<Self> {
        let ((_, of_first), (_, of_second)) = (first.into_parts(), second.into_parts());
        match RecomputeBlock.prepare::<C>([of_first, of_second]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish(back, out.into_primitive()),
            OpsKind::UnTracked(prep) => prep.finish(out.into_primitive()),
        }
    }
}
