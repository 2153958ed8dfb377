//! Parts that keep nothing for the backward pass and are run again in it (activation checkpointing, 1604.06174).
//!
//! Forward, the part runs without a graph. Backward, it runs once more from its input, on fresh leaves, in a context
//! that names the same random numbers: every bit is what it would have been. Gradients of its parameters don't travel
//! with the outer graph, which knows nothing of them; they are left in a [`Sink`].

use super::{AuxiliaryLoss, Context, Memory, RngKey, TokenMarks, TokenStream};
use crate::position::Position;
use burn::{module::Module, optim::GradientsParams, tensor::Tensor};
use kiln_kernels::{planner::Kernel, recompute::recompute};
use std::sync::{Arc, Mutex, PoisonError};

/// Where gradients of recomputed parts wait for the step, in the order of the backward pass.
#[derive(Clone, Default)]
pub struct GradientSink {
    pending: Arc<Mutex<Vec<GradientsParams>>>,
    /// Whether a part of this call was recomputed before: what comes later lies deep in the graph, were it kept.
    deep_graph: bool,
}

impl GradientSink {
    /// What has come in.
    pub fn take(&self) -> Vec<GradientsParams> {
        std::mem::take(&mut *self.pending.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn push(&self, gradients: GradientsParams) {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner).push(gradients);
    }
}

/// How a part is run.
pub type ForwardFn<P> = fn(&P, Tensor<3>, &mut Context) -> Tensor<3>;

/// A part and the positions that it may use: both have weights.
type PartWithPosition<P> = (P, Option<Position>);

impl Context {
    /// Runs `part`, `[B, T, M] → [B, T, M]`: recomputed if this call asks for it, else as it is.
    pub fn forward_recomputed<P: Module + Sync + 'static>(
        &mut self,
        part: &P,
        x: Tensor<3>,
        run: ForwardFn<P>,
    ) -> Tensor<3> {
        let Some(sink) = self.gradient_sink.clone().filter(|_| x.is_autodiff() && self.state.is_none()) else {
            return self.forward_stored(part, x, run);
        };
        let whole: PartWithPosition<P> = (part.clone(), self.position.clone());
        let plain = whole.valid();
        let (x, memory) = (ensure_tracked(x), self.memory.as_ref().map(|memory| memory.hidden.clone()));
        let (shape, out, mut added) = self.forward_no_grad(whole.no_grad(), x.clone().detach(), run);
        let again = RecomputeBlock {
            stream: self.stream.clone(),
            memory: self.memory.clone().map(|memory| Memory { hidden: memory.hidden.inner(), ..memory }),
            draws: self.rng_key,
            kernel: self.forced_kernel,
            path: self.path.clone(),
        };
        let second = memory.unwrap_or_else(|| x.clone().detach());
        let (kept, deep) = (x.clone().inner(), sink.deep_graph);
        self.gradient_sink = Some(GradientSink { deep_graph: true, ..sink.clone() });
        let pull = move |gradient, depths: [usize; 2]| {
            let depths = depths.map(|depth| if deep { MAX_GRAPH_DEPTH } else { depth.min(MAX_GRAPH_DEPTH) });
            again.vjp(plain.clone().train(), (kept.clone(), depths), gradient, run, &sink)
        };
        let out = recompute([x, second], out, Arc::new(pull));
        let length = shape.iter().product();
        for (i, loss) in added.iter_mut().enumerate() {
            loss.value = out.clone().narrow(0, length + i, 1);
        }
        let y = if added.is_empty() { out } else { out.narrow(0, 0, length) };
        self.auxiliary_losses.append(&mut added);
        y.reshape(shape)
    }

    /// Runs the part as it is. It looks at the memory through a place of its own, where what it says of it adds up before
    /// it meets what other parts say: as it does when it is recomputed.
    fn forward_stored<P>(&mut self, part: &P, x: Tensor<3>, run: ForwardFn<P>) -> Tensor<3> {
        let outer = self.memory.clone();
        self.memory = outer.clone().map(|memory| Memory { hidden: graph_barrier(memory.hidden), ..memory });
        let y = run(part, x, self);
        self.memory = outer;
        y
    }

    /// Runs the part without a graph: the output's shape, output and added losses in one row, and the losses.
    fn forward_no_grad<P: Module>(
        &mut self,
        (part, position): PartWithPosition<P>,
        x: Tensor<3>,
        run: ForwardFn<P>,
    ) -> ([usize; 3], Tensor<1>, Vec<AuxiliaryLoss>) {
        let outer =
            (self.position.clone(), self.memory.clone(), self.gradient_sink.take(), self.take_auxiliary_losses());
        self.position = position;
        self.memory = self.memory.take().map(|memory| Memory { hidden: memory.hidden.detach(), ..memory });
        let y = run(&part, x, self);
        let added = self.take_auxiliary_losses();
        (self.position, self.memory, self.gradient_sink, self.auxiliary_losses) = outer;
        (y.dims(), flatten_with_losses(y, &added), added)
    }
}

/// All that a part needs to run again.
struct RecomputeBlock {
    stream: TokenStream,
    memory: Option<Memory>,
    draws: Option<RngKey>,
    kernel: Option<Kernel>,
    path: Vec<String>,
}

impl RecomputeBlock {
    /// Runs the part with a graph and pulls the gradient of its row back: gradients of the input and of the memory.
    fn vjp<P: Module>(
        &self,
        (part, position): PartWithPosition<P>,
        (x, depths): (Tensor<3>, [usize; 2]),
        gradient: Tensor<1>,
        run: ForwardFn<P>,
        sink: &GradientSink,
    ) -> [Option<Tensor<3>>; 2] {
        let leaf = |tensor: Tensor<3>| tensor.autodiff().require_grad();
        let (x, memory, mut cx) = (leaf(x), self.memory.clone(), self.context(position.clone()));
        let memory = memory.map(|memory| (leaf(memory.hidden), memory.token_marks));
        let deeper = |(hidden, marks): (Tensor<3>, TokenMarks)| Memory {
            hidden: pad_graph_depth(hidden, depths[1]),
            token_marks: marks,
        };
        cx.memory = memory.clone().map(deeper);
        let y = run(&part, pad_graph_depth(x.clone(), depths[0]), &mut cx);
        let row = flatten_with_losses(y, &cx.take_auxiliary_losses());
        let mut graph = (row * gradient.autodiff()).sum().backward();
        let found = [x.grad_remove(&mut graph), memory.and_then(|(hidden, _)| hidden.grad_remove(&mut graph))];
        sink.push(GradientsParams::from_module(&mut graph, &(part, position)));
        found
    }

    fn context(&self, position: Option<Position>) -> Context {
        Context {
            stream: self.stream.clone(),
            token_types: None,
            memory: None,
            embedding_table: None,
            state: None,
            probe: None,
            rng_key: self.draws,
            position,
            forced_kernel: self.kernel,
            gradient_sink: None,
            auxiliary_losses: Vec::new(),
            path: self.path.clone(),
        }
    }
}

/// Beyond it, depth changes no order: what is made of parameters alone is never that deep.
const MAX_GRAPH_DEPTH: usize = 16;

/// A leaf as deep in the graph as if it were made by so many operations: operations of one depth run in another order
/// than those of two, and sums of gradients with them.
fn pad_graph_depth<const D: usize>(leaf: Tensor<D>, depth: usize) -> Tensor<D> {
    let odd = if depth % 2 == 1 { leaf * 1.0 } else { leaf };
    (0..depth / 2).fold(odd, |x, _| x.swap_dims(0, 1).swap_dims(0, 1))
}

/// The same numbers at a place of their own in the graph, whose readers' gradients add up there. Of two places the sum is
/// the same to the bit in either order; of three readers of one place it is not, and whether a part is recomputed decides
/// their order.
pub fn graph_barrier<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    if x.is_autodiff() { pad_graph_depth(x, 2) } else { x }
}

/// An input without a gradient would cut the part's weights off: it becomes a leaf.
fn ensure_tracked(x: Tensor<3>) -> Tensor<3> {
    if x.is_tracked() { x } else { x.inner().autodiff().require_grad() }
}

/// The numbers of `y`, and each loss after them.
fn flatten_with_losses(y: Tensor<3>, added: &[AuxiliaryLoss]) -> Tensor<1> {
    let length = y.shape().num_elements();
    let y = y.reshape([length]);
    if added.is_empty() {
        return y;
    }
    let losses = added.iter().map(|loss| loss.value.clone());
    Tensor::cat([y].into_iter().chain(losses).collect(), 0)
}
