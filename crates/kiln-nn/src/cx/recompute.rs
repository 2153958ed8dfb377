//! Parts that keep nothing for the backward pass and are run again in it (activation checkpointing, 1604.06174).
//!
//! Forward, the part runs without a graph. Backward, it runs once more from its input, on fresh leaves, in a context
//! that names the same random numbers: every bit is what it would have been. Gradients of its parameters don't travel
//! with the outer graph, which knows nothing of them; they are left in a [`Sink`].

use super::{Added, Cx, Draws, Marks, Memory, Stream};
use crate::position::Position;
use burn::{module::Module, optim::GradientsParams, tensor::Tensor};
use kiln_kernels::{planner::Kernel, recompute::recompute};
use std::sync::{Arc, Mutex, PoisonError};

/// Where gradients of recomputed parts wait for the step, in the order of the backward pass.
#[derive(Clone, Default)]
pub struct Sink {
    waiting: Arc<Mutex<Vec<GradientsParams>>>,
    /// Whether a part of this call was recomputed before: what comes later lies deep in the graph, were it kept.
    deep: bool,
}

impl Sink {
    /// What has come in.
    pub fn take(&self) -> Vec<GradientsParams> {
        std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn leave(&self, gradients: GradientsParams) {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).push(gradients);
    }
}

/// How a part is run.
pub type Run<P> = fn(&P, Tensor<3>, &mut Cx) -> Tensor<3>;

/// A part and the positions that it may use: both have weights.
type Whole<P> = (P, Option<Position>);

impl Cx {
    /// Runs `part`, `[B, T, M] → [B, T, M]`: recomputed if this call asks for it, else as it is.
    pub fn recomputed<P: Module + Sync + 'static>(&mut self, part: &P, x: Tensor<3>, run: Run<P>) -> Tensor<3> {
        let Some(sink) = self.recompute.clone().filter(|_| x.is_autodiff() && self.state.is_none()) else {
            return self.kept(part, x, run);
        };
        let whole: Whole<P> = (part.clone(), self.position.clone());
        let plain = whole.valid();
        let (x, memory) = (tracked(x), self.memory.as_ref().map(|memory| memory.hidden.clone()));
        let (shape, out, mut added) = self.quietly(whole.no_grad(), x.clone().detach(), run);
        let again = Again {
            stream: self.stream.clone(),
            memory: self.memory.clone().map(|memory| Memory { hidden: memory.hidden.inner(), ..memory }),
            draws: self.draws,
            kernel: self.kernel,
            path: self.path.clone(),
        };
        let second = memory.unwrap_or_else(|| x.clone().detach());
        let (kept, deep) = (x.clone().inner(), sink.deep);
        self.recompute = Some(Sink { deep: true, ..sink.clone() });
        let pull = move |gradient, depths: [usize; 2]| {
            let depths = depths.map(|depth| if deep { DEEP } else { depth.min(DEEP) });
            again.pull(plain.clone().train(), (kept.clone(), depths), gradient, run, &sink)
        };
        let out = recompute([x, second], out, Arc::new(pull));
        let length = shape.iter().product();
        for (i, loss) in added.iter_mut().enumerate() {
            loss.value = out.clone().narrow(0, length + i, 1);
        }
        let y = if added.is_empty() { out } else { out.narrow(0, 0, length) };
        self.losses.append(&mut added);
        y.reshape(shape)
    }

    /// Runs the part as it is. It looks at the memory through a place of its own, where what it says of it adds up before
    /// it meets what other parts say: as it does when it is recomputed.
    fn kept<P>(&mut self, part: &P, x: Tensor<3>, run: Run<P>) -> Tensor<3> {
        let outer = self.memory.clone();
        self.memory = outer.clone().map(|memory| Memory { hidden: own_place(memory.hidden), ..memory });
        let y = run(part, x, self);
        self.memory = outer;
        y
    }

    /// Runs the part without a graph: the output's shape, output and added losses in one row, and the losses.
    fn quietly<P: Module>(
        &mut self,
        (part, position): Whole<P>,
        x: Tensor<3>,
        run: Run<P>,
    ) -> ([usize; 3], Tensor<1>, Vec<Added>) {
        let outer = (self.position.clone(), self.memory.clone(), self.recompute.take(), self.take_losses());
        self.position = position;
        self.memory = self.memory.take().map(|memory| Memory { hidden: memory.hidden.detach(), ..memory });
        let y = run(&part, x, self);
        let added = self.take_losses();
        (self.position, self.memory, self.recompute, self.losses) = outer;
        (y.dims(), row(y, &added), added)
    }
}

/// All that a part needs to run again.
struct Again {
    stream: Stream,
    memory: Option<Memory>,
    draws: Option<Draws>,
    kernel: Option<Kernel>,
    path: Vec<String>,
}

impl Again {
    /// Runs the part with a graph and pulls the gradient of its row back: gradients of the input and of the memory.
    fn pull<P: Module>(
        &self,
        (part, position): Whole<P>,
        (x, depths): (Tensor<3>, [usize; 2]),
        gradient: Tensor<1>,
        run: Run<P>,
        sink: &Sink,
    ) -> [Option<Tensor<3>>; 2] {
        let leaf = |tensor: Tensor<3>| tensor.autodiff().require_grad();
        let (x, memory, mut cx) = (leaf(x), self.memory.clone(), self.cx(position.clone()));
        let memory = memory.map(|memory| (leaf(memory.hidden), memory.marks));
        let deeper = |(hidden, marks): (Tensor<3>, Marks)| Memory { hidden: deepened(hidden, depths[1]), marks };
        cx.memory = memory.clone().map(deeper);
        let y = run(&part, deepened(x.clone(), depths[0]), &mut cx);
        let row = row(y, &cx.take_losses());
        let mut graph = (row * gradient.autodiff()).sum().backward();
        let found = [x.grad_remove(&mut graph), memory.and_then(|(hidden, _)| hidden.grad_remove(&mut graph))];
        sink.leave(GradientsParams::from_module(&mut graph, &(part, position)));
        found
    }

    fn cx(&self, position: Option<Position>) -> Cx {
        Cx {
            stream: self.stream.clone(),
            types: None,
            memory: None,
            table: None,
            state: None,
            probe: None,
            draws: self.draws,
            position,
            kernel: self.kernel,
            recompute: None,
            losses: Vec::new(),
            path: self.path.clone(),
        }
    }
}

/// Beyond it, depth changes no order: what is made of parameters alone is never that deep.
const DEEP: usize = 16;

/// A leaf as deep in the graph as if it were made by so many operations: operations of one depth run in another order
/// than those of two, and sums of gradients with them.
fn deepened<const D: usize>(leaf: Tensor<D>, depth: usize) -> Tensor<D> {
    let odd = if depth % 2 == 1 { leaf * 1.0 } else { leaf };
    (0..depth / 2).fold(odd, |x, _| x.swap_dims(0, 1).swap_dims(0, 1))
}

/// The same numbers at a place of their own in the graph, whose readers' gradients add up there. Of two places the sum is
/// the same to the bit in either order; of three readers of one place it is not, and whether a part is recomputed decides
/// their order.
pub fn own_place<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    if x.is_autodiff() { deepened(x, 2) } else { x }
}

/// An input without a gradient would cut the part's weights off: it becomes a leaf.
fn tracked(x: Tensor<3>) -> Tensor<3> {
    if x.is_tracked() { x } else { x.inner().autodiff().require_grad() }
}

/// The numbers of `y`, and each loss after them.
fn row(y: Tensor<3>, added: &[Added]) -> Tensor<1> {
    let length = y.shape().num_elements();
    let y = y.reshape([length]);
    if added.is_empty() {
        return y;
    }
    let losses = added.iter().map(|loss| loss.value.clone());
    Tensor::cat([y].into_iter().chain(losses).collect(), 0)
}
