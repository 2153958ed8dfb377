//! Recomputed operation: an autograd operation that stores no activations (gradient checkpointing, 1604.06174).
//!
//! The caller computes the output without a graph and passes a vector–Jacobian product ([`Vjp`]): a function that runs the
//! part once more on new leaves and returns the gradients of its inputs. The operation only links output and inputs in the
//! outer graph. Its backward step calls the function, which runs a backward pass of its own inside the outer one.
//!
//! Burn adds gradients in an order that depends on the depth of operations in the graph. So the function also receives the
//! depths of the inputs, and can place its leaves as deep; `kiln_nn::autograd_order` says why. Nothing is computed here,
//! so there are no sums and no error.

use crate::cpu::backend_api::{
    Autodiff, Backend, Backward, CheckpointStrategy, Checkpointer, Dispatch, Flex, FloatTensor, Gradients, Ops,
    OpsKind, backend_extension,
};
use burn::tensor::Tensor;
use std::{fmt, sync::Arc};

/// Vector–Jacobian product: (gradient of the output `[n]`, depths of the inputs in the outer graph) → gradients of the
/// inputs.
///
/// All tensors are without autodiff. A depth of 0 is a leaf, or an input that isn't tracked. `None`: no gradient.
pub type Vjp = dyn Fn(Tensor<1>, [usize; 4]) -> [Option<Tensor<3>>; 4] + Send + Sync;

/// Vector–Jacobian product as the operation stores it: shared, and with a `Debug` form, which Burn requires.
#[derive(Clone)]
pub struct SharedVjp(Arc<Vjp>);

impl fmt::Debug for SharedVjp {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("SharedVjp")
    }
}

/// Returns `out [n]` as a differentiable function of `inputs`, with `vjp` as its backward pass.
///
/// At least one input must be tracked, otherwise the backward pass is never called; `out` must not be tracked.
pub fn recompute(inputs: [Tensor<3>; 4], out: Tensor<1>, vjp: Arc<Vjp>) -> Tensor<1> {
    let [first, second, third, fourth] = inputs.map(Tensor::into_dispatch);
    Tensor::from_dispatch(Dispatch::recompute(first, second, third, fourth, out.into_dispatch(), SharedVjp(vjp)))
}

/// Operation of [`recompute`] on Burn's backends.
#[backend_extension(Flex, Autodiff)]
pub trait Recompute: Backend {
    /// Returns `out`. On an autodiff backend the result depends on the inputs through `vjp`.
    fn recompute(
        _first: FloatTensor<Self>,
        _second: FloatTensor<Self>,
        _third: FloatTensor<Self>,
        _fourth: FloatTensor<Self>,
        out: FloatTensor<Self>,
        _vjp: SharedVjp,
    ) -> FloatTensor<Self> {
        out
    }
}

impl Recompute for Flex {}

/// Backend whose primitives convert to Burn's tensors and back, for the call of the [`Vjp`].
pub trait PrimitiveConversion: Recompute {
    /// Returns a tensor `[n]` of a primitive.
    fn wrap_primitive(primitive: FloatTensor<Self>) -> Tensor<1>;
    /// Returns the primitive of a tensor `[B, T, M]`.
    fn unwrap_primitive(tensor: Tensor<3>) -> FloatTensor<Self>;
}

impl PrimitiveConversion for Flex {
    fn wrap_primitive(primitive: FloatTensor<Self>) -> Tensor<1> {
        Tensor::from_primitive::<Self>(primitive)
    }

    fn unwrap_primitive(tensor: Tensor<3>) -> FloatTensor<Self> {
        tensor.try_into_primitive::<Self>().expect("a gradient on the device of its tensor")
    }
}

/// Backward step; stores the vector–Jacobian product.
#[derive(Debug)]
struct RecomputeBackward;

impl<B: PrimitiveConversion> Backward<B, 4> for RecomputeBackward {
    type State = SharedVjp;

    fn backward(self, ops: Ops<Self::State, 4>, grads: &mut Gradients, _: &mut Checkpointer) {
        let gradient = B::wrap_primitive(grads.consume::<B>(&ops.node));
        let depths = ops.parents.each_ref().map(|parent| parent.as_ref().map_or(0, |node| node.order));
        for (parent, gradient) in ops.parents.into_iter().zip((ops.state.0)(gradient, depths)) {
            if let (Some(node), Some(gradient)) = (parent, gradient) {
                grads.register::<B>(node.id, B::unwrap_primitive(gradient));
            }
        }
    }
}

impl<B: PrimitiveConversion, C: CheckpointStrategy> Recompute for Autodiff<B, C> {
    fn recompute(
        first: FloatTensor<Self>,
        second: FloatTensor<Self>,
        third: FloatTensor<Self>,
        fourth: FloatTensor<Self>,
        out: FloatTensor<Self>,
        vjp: SharedVjp,
    ) -> FloatTensor<Self> {
        let nodes = [first, second, third, fourth].map(|input| input.into_parts().1);
        match RecomputeBackward.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish(vjp, out.into_primitive()),
            OpsKind::UnTracked(prep) => prep.finish(out.into_primitive()),
        }
    }
}
