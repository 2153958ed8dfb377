//! Gradient checkpointing: parts that store no activations and run again in the backward pass (1604.06174, section 4).
//!
//! Forward, the part runs without a graph: only its input `[B, T, M]` is stored. Backward, it runs once more from that
//! input, on new leaves, in a context with the same random-number key, so every value has the same bits as in the first
//! run. Its vector–Jacobian product then gives the gradients of the input and of the encoder memory to the outer graph. The
//! gradients of its parameters are collected in a [`GradientSink`], because the parameters are not in the outer graph.
//!
//! Memory: one `[B, T, M]` per part instead of all activations. Time: one more forward pass. Results are bit-identical to a
//! run without checkpointing; [`crate::autograd_order`] explains how.

use super::{AuxiliaryLoss, Context, Memory, RngKey, TokenMarks, TokenStream};
use crate::{
    autograd_order::{ensure_tracked, graph_barrier, leaf_depth, new_leaf, pad_graph_depth},
    position::Position,
};
use burn::{module::Module, optim::GradientsParams, tensor::Tensor};
use kiln_kernels::{exact::Arithmetic, planner::Kernel, recompute::recompute};
use std::sync::{Arc, Mutex, PoisonError};

/// Gradients of recomputed parts, collected during the backward pass. Clones share the collection.
///
/// The training step sets one as [`Context::gradient_sink`], runs the backward pass, and adds what [`take`](Self::take)
/// returns to the gradients of the outer graph.
#[derive(Clone, Default)]
pub struct GradientSink {
    pending: Arc<Mutex<Vec<GradientsParams>>>,
    /// Whether an earlier part of this call is recomputed; see [`leaf_depth`].
    after_recomputed: bool,
}

impl GradientSink {
    /// Takes the gradients collected so far, one entry per recomputed part, in the order of the backward pass.
    pub fn take(&self) -> Vec<GradientsParams> {
        std::mem::take(&mut *self.pending.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn push(&self, gradients: GradientsParams) {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner).push(gradients);
    }
}

/// The forward function of a part, `[B, T, M] → [B, T, M]`. A function pointer captures no state, so the
/// second run computes the same function.
pub type ForwardFn<P> = fn(&P, Tensor<3>, &mut Context) -> Tensor<3>;

/// A part and the position encoding of its stack, which has parameters too (T5, learned positions).
type PartWithPosition<P> = (P, Option<Position>);

impl Context {
    /// Runs `part`, `[B, T, M] → [B, T, M]`, with gradient checkpointing if this call has a gradient sink.
    ///
    /// Without a sink, without autodiff or with a decode state the part runs once, and its graph is stored.
    pub fn forward_recomputed<P: Module + Sync + 'static>(
        &mut self,
        part: &P,
        x: Tensor<3>,
        run: ForwardFn<P>,
    ) -> Tensor<3> {
        let Some(sink) = self.gradient_sink.clone().filter(|_| x.is_autodiff() && self.state.is_none()) else {
            return self.forward_stored(part, x, run);
        };
        let modules: PartWithPosition<P> = (part.clone(), self.position.clone());
        let modules_without_autodiff = modules.valid();
        let x = ensure_tracked(x);
        let memory = self.memory.as_ref().map(|memory| memory.hidden.clone());
        let (shape, out, mut losses) = self.forward_no_grad(modules.no_grad(), x.clone().detach(), run);
        let block = self.recompute_block();
        // The operation has two inputs. Without an encoder memory, the second is a constant and gets no gradient.
        let memory_input = memory.unwrap_or_else(|| x.clone().detach());
        let input = x.clone().inner();
        let after_recomputed = sink.after_recomputed;
        self.gradient_sink = Some(GradientSink { after_recomputed: true, ..sink.clone() });
        let vjp = move |gradient, depths: [usize; 2]| {
            let depths = depths.map(|depth| leaf_depth(depth, after_recomputed));
            block.vjp(modules_without_autodiff.clone().train(), (input.clone(), depths), gradient, run, &sink)
        };
        let out = recompute([x, memory_input], out, Arc::new(vjp));
        let length = shape.iter().product();
        for (i, loss) in losses.iter_mut().enumerate() {
            loss.value = out.clone().narrow(0, length + i, 1);
        }
        let y = if losses.is_empty() { out } else { out.narrow(0, 0, length) };
        self.auxiliary_losses.append(&mut losses);
        y.reshape(shape)
    }

    /// Runs the part once with its graph stored. It reads the memory through a barrier, so that its gradients of the
    /// memory add up before they meet those of other parts, as they do when the part is recomputed.
    fn forward_stored<P>(&mut self, part: &P, x: Tensor<3>, run: ForwardFn<P>) -> Tensor<3> {
        let outer = self.memory.clone();
        self.memory = outer.clone().map(|memory| Memory { hidden: graph_barrier(memory.hidden), ..memory });
        let y = run(part, x, self);
        self.memory = outer;
        y
    }

    /// Runs the part without a graph. Returns the shape of its output, the flat output followed by the auxiliary losses,
    /// and those losses with their names.
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
        let losses = self.take_auxiliary_losses();
        (self.position, self.memory, self.gradient_sink, self.auxiliary_losses) = outer;
        (y.dims(), flatten_with_losses(y, &losses), losses)
    }

    /// Everything of this context that the second run needs.
    fn recompute_block(&self) -> RecomputeBlock {
        RecomputeBlock {
            stream: self.stream.clone(),
            memory: self.memory.clone().map(|memory| Memory { hidden: memory.hidden.inner(), ..memory }),
            rng_key: self.rng_key,
            kernel: self.forced_kernel,
            path: self.path.clone(),
        }
    }
}

/// Inputs of a part's second run: tokens, memory, random-number key, forced kernel and path.
struct RecomputeBlock {
    stream: TokenStream,
    memory: Option<Memory>,
    rng_key: Option<RngKey>,
    kernel: Option<Kernel>,
    path: Vec<String>,
}

impl RecomputeBlock {
    /// Vector–Jacobian product: runs the part with a graph and returns the gradients of input and memory for `gradient`,
    /// the gradient of the flat output. Pushes the parameters' gradients into `sink`.
    fn vjp<P: Module>(
        &self,
        (part, position): PartWithPosition<P>,
        (x, depths): (Tensor<3>, [usize; 2]),
        gradient: Tensor<1>,
        run: ForwardFn<P>,
        sink: &GradientSink,
    ) -> [Option<Tensor<3>>; 2] {
        let x = new_leaf(x);
        let memory = self.memory.clone().map(|memory| (new_leaf(memory.hidden), memory.token_marks));
        let mut cx = self.context(position.clone());
        cx.memory = memory.clone().map(|(hidden, token_marks): (Tensor<3>, TokenMarks)| Memory {
            hidden: pad_graph_depth(hidden, depths[1]),
            token_marks,
        });
        let y = run(&part, pad_graph_depth(x.clone(), depths[0]), &mut cx);
        let flat = flatten_with_losses(y, &cx.take_auxiliary_losses());
        let mut graph = (flat * gradient.autodiff()).sum().backward();
        let gradients = [x.grad_remove(&mut graph), memory.and_then(|(hidden, _)| hidden.grad_remove(&mut graph))];
        sink.push(GradientsParams::from_module(&mut graph, &(part, position)));
        gradients
    }

    /// The context of the second run: no state, no probe, no sink.
    fn context(&self, position: Option<Position>) -> Context {
        Context {
            stream: self.stream.clone(),
            token_types: None,
            memory: None,
            embedding_table: None,
            state: None,
            probe: None,
            rng_key: self.rng_key,
            position,
            // Gradients are computed in fast arithmetic only.
            arithmetic: Arithmetic::Fast,
            forced_kernel: self.kernel,
            gradient_sink: None,
            loss_sink: None,
            auxiliary_losses: Vec::new(),
            expert_loads: Vec::new(),
            used_kernels: Vec::new(),
            path: self.path.clone(),
        }
    }
}

/// The values of `y` in one row, followed by one value for each loss: `[B·T·M + losses]`. Output and losses of a
/// recomputed part are one tensor, because the operation has one output.
fn flatten_with_losses(y: Tensor<3>, losses: &[AuxiliaryLoss]) -> Tensor<1> {
    let length = y.shape().num_elements();
    let y = y.reshape([length]);
    if losses.is_empty() {
        return y;
    }
    let values = losses.iter().map(|loss| loss.value.clone());
    Tensor::cat([y].into_iter().chain(values).collect(), 0)
}
