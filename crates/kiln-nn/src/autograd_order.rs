//! Fixes the order in which Burn's autograd adds gradients. All operations that exist only for this purpose are here.
//!
//! Gradient checkpointing (1604.06174) must not change a bit of any gradient. Floating-point addition isn't associative,
//! (a + b) + c ≠ a + (b + c), so a gradient with three or more terms depends on the order in which autograd adds them.
//! Burn's order (burn-autodiff 0.22, `runtime/server.rs`) is:
//!
//! 1. An operation has a depth in the graph: 0 for a leaf, otherwise 1 + the depth of its deepest input.
//! 2. The backward pass runs the deepest operations first. Operations of one depth run in the order in which a
//!    depth-first walk from the loss finds them.
//! 3. A tensor that several operations read adds up their gradients in the order of arrival.
//!
//! A recomputed block is one operation of the outer graph instead of a hundred, and its own graph starts at depth 0. That
//! shifts the depths, so rule 2 alone would give other sums. Three measures keep them equal:
//!
//! * **At most two gradients per sum.** a + b = b + a holds to the bit. A tensor read both inside and outside a block goes
//!   through [`graph_barrier`]. The gradients from inside are summed at the barrier, so the outer graph adds one term for the
//!   block. The same holds for a tensor that parallel parts share. [`ReaderChain`] does the same for any number of parallel
//!   readers, and [`reshape_barrier`] where a reshape is needed anyway.
//! * **Shared tensors last.** A tensor that a layer reads from an earlier block is a second way into that block's graph. The
//!   walk of rule 2 visits the inputs of an operation from the last to the first, so such a tensor is the first input of what
//!   reads it, and `walk_after` makes it so where the operation has another order. The walk then finds all other operations
//!   as if no tensor were shared.
//! * **Equal depth.** Inside a recomputed block the leaf is padded (`pad_graph_depth`) to the depth that the block's
//!   input has in the stored graph, so that operations on the input and parameters run in the same order.
//!
//! Users: `context::recompute` (block input, encoder memory, parameters of the stack's positions), `context::shared` (published tensors), `kiln_models::block` (parallel parts), `kiln_models::model`
//! (embedding table read by encoder and decoder), [`crate::part::experts`] (router and experts read one input).
//!
//! Test: `recomputed_blocks_equal_stored_ones` in `kiln-laws/tests/integration/laws/recompute.rs`. The gradients with and without
//! checkpointing are bit-identical.

use burn::{
    module::{Module, ModuleMapper, Param},
    tensor::{Device, Tensor},
};
use kiln_kernels::recompute::recompute;
use std::sync::Arc;

/// Greatest depth that [`pad_graph_depth`] is called with.
///
/// Depth only matters against operations that don't depend on the block's input: transposes, casts and reshapes of
/// parameters. None of those is 16 operations deep, so every depth from here on gives the same order, and padding to the
/// real depth (hundreds of operations in a deep model) would be wasted time.
pub(crate) const MAX_GRAPH_DEPTH: usize = 16;

/// Depth at which a recomputed block's leaf is placed, for an input at `depth` in the outer graph.
///
/// `after_recomputed`: an earlier block of this call was recomputed. It counts as one operation, so `depth` is too small;
/// the stored graph would be deeper than [`MAX_GRAPH_DEPTH`] there.
pub(crate) fn leaf_depth(depth: usize, after_recomputed: bool) -> usize {
    if after_recomputed { MAX_GRAPH_DEPTH } else { depth.min(MAX_GRAPH_DEPTH) }
}

/// `leaf` with the same values, `depth` operations deep in the graph.
///
/// Pairs of transposes move no memory (they change strides only) and add no rounding. An odd depth starts with a
/// multiplication by 1, which is exact for every float.
pub(crate) fn pad_graph_depth<const D: usize>(leaf: Tensor<D>, depth: usize) -> Tensor<D> {
    let odd = if depth % 2 == 1 { leaf * 1.0 } else { leaf };
    (0..depth / 2).fold(odd, |x, _| x.swap_dims(0, 1).swap_dims(0, 1))
}

/// `x` with the same values as a node of its own in the graph. Without autodiff it returns `x` itself.
///
/// Gradients of everything that reads the result add up at this node before the gradients of other readers of `x` are
/// added. Use it where a tensor would get a third reader. D ≥ 2, no copy of the values, 2 graph operations.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use kiln_nn::autograd_order::graph_barrier;
///
/// let x = Tensor::<2>::from_floats([[1.0, 2.0]], &Device::flex().autodiff()).require_grad();
/// let y = graph_barrier(x.clone());
/// assert_eq!(y.clone().into_data(), x.clone().into_data());
/// // Two readers behind the barrier, one before it: (3 + 4) + 5.
/// let loss = (y.clone() * 3.0 + y * 4.0 + x.clone() * 5.0).sum();
/// let gradient = x.grad(&loss.backward()).unwrap();
/// assert_eq!(gradient.into_data(), Tensor::<2>::from_floats([[12.0, 12.0]], &Device::flex()).into_data());
/// ```
pub fn graph_barrier<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    if x.is_autodiff() { pad_graph_depth(x, 2) } else { x }
}

/// A module with the same values, whose parameters are nodes of their own in the graph: a [`graph_barrier`] for each.
pub(crate) fn module_barrier<M: Module>(module: &M) -> M {
    struct Barrier;
    impl ModuleMapper for Barrier {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            // A multiplication by 1 is exact, and needs no second dimension.
            param.map(|x| if x.is_autodiff() { x * 1.0 } else { x })
        }
    }
    module.clone().map(&mut Barrier)
}

/// `x` in another shape, as a node of its own in the graph: a [`graph_barrier`] at the cost of the reshape.
///
/// All readers of a reshaped input must read this one result. Reshaping twice makes two nodes, and `x` a tensor with one
/// more reader.
pub fn reshape_barrier<const D: usize, const E: usize>(x: Tensor<D>, shape: [usize; E]) -> Tensor<E> {
    x.reshape(shape)
}

/// One tensor for several parallel readers, whose gradients add up pairwise in a fixed order.
///
/// Reader i reads through a barrier chained to the barrier of reader i − 1. With readers 1 … n the gradient is
/// g₁ + (g₂ + (… + gₙ)), for any depth of each reader's own graph.
pub struct ReaderChain<const D: usize> {
    rest: Tensor<D>,
}

impl<const D: usize> ReaderChain<D> {
    /// Starts a chain at `x`, D ≥ 2.
    pub fn new(x: Tensor<D>) -> Self {
        Self { rest: graph_barrier(x) }
    }

    /// Returns the tensor for the next reader. `is_last`: no reader follows, so it reads the end of the chain.
    pub fn next_reader(&mut self, is_last: bool) -> Tensor<D> {
        if is_last {
            return self.rest.clone();
        }
        let reader = graph_barrier(self.rest.clone());
        self.rest = graph_barrier(self.rest.clone());
        reader
    }
}

/// `x` with the same values, whose graph a backward pass finds after that of `after`. No gradient flows to `after`.
///
/// Needed on the CPU only, where blocks can be recomputed; on other devices it returns `x` itself.
pub(crate) fn walk_after(x: Tensor<4>, after: &Tensor<3>) -> Tensor<4> {
    if !x.is_tracked() || x.device().without_autodiff() != Device::flex() {
        return x;
    }
    let (shape @ [b, g, s, d], constant) = (x.dims(), after.clone().detach());
    let values = x.clone().detach().flatten(0, 3);
    let vjp = move |gradient: Tensor<1>, _: [usize; 4]| [Some(gradient.reshape([b * g, s, d])), None, None, None];
    recompute([x.reshape([b * g, s, d]), after.clone(), constant.clone(), constant], values, Arc::new(vjp))
        .reshape(shape)
}

/// A new leaf with the values of `x`, a tensor without autodiff: the backward pass gives it a gradient.
pub(crate) fn new_leaf<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    x.autodiff().require_grad()
}

/// `x` if a gradient flows to it, otherwise a leaf with its values.
///
/// Burn runs the backward pass of an operation only if one of its inputs is tracked. A recomputed block whose input has
/// no gradient (a frozen embedding) would be skipped, and its parameters would get no gradient either.
pub(crate) fn ensure_tracked<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    if x.is_tracked() { x } else { new_leaf(x.inner()) }
}

/// `x` as a constant: no gradient flows back through the result (the stop-gradient of the papers).
///
/// The result is still an autodiff tensor, so it can be combined with tracked ones.
pub(crate) fn stop_gradient<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    if x.is_autodiff() { x.detach() } else { x }
}

/// `x` without autodiff: what is computed from the result records no graph at all. For choices such as a top-k, which
/// have no gradient.
pub(crate) fn without_graph<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    if x.is_autodiff() { x.inner() } else { x }
}
