//! Gradient checkpointing: parts that store no activations and run again in the backward pass (1604.06174, section 4).
//!
//! Forward, the part runs without a graph: only its input `[B, T, M]` is stored. Backward, it runs once more from that
//! input, on new leaves, in a context with the same random-number key, so every value has the same bits as in the first
//! run. Its vector–Jacobian product then gives the gradients of the input, of the encoder memory, of the tensors that earlier
//! blocks published and of the factors of adapters for each token to the outer graph. What the part publishes itself is an output
//! as its result is. The
//! gradients of its parameters are collected in a [`GradientSink`], because the parameters are not in the outer graph.
//!
//! Memory: one `[B, T, M]` per part instead of all activations. Time: one more forward pass. Results are bit-identical to a
//! run without checkpointing; [`crate::autograd_order`] explains how.

use super::{
    AuxiliaryLoss, Context, Memory, RngKey, SharedTensor, TokenMarks, TokenStream,
    shared::{SharedStore, SharedValues},
};
use crate::{
    adapter::TokenFactors,
    autograd_order::{
        ensure_tracked, graph_barrier, leaf_depth, module_barrier, new_leaf, pad_graph_depth, stop_gradient,
        without_graph,
    },
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
        let factors = self.chain_token_factors();
        let outputs = self.forward_no_grad(modules.no_grad(), x.clone().detach(), run);
        let shared = self.shared.next_readers(&outputs.read);
        let block = self.recompute_block(&shared);
        // The operation has four inputs. One that the part doesn't have is a constant and gets no gradient. A backward pass
        // finds the graph of the last input first: with published tensors at the start, all else is found in the order that it
        // has without them.
        let constant = || x.clone().detach();
        let factors = factors.map(|values| if values.is_autodiff() { values } else { values.autodiff() });
        let [memory, factors] = [memory, factors].map(|input| input.unwrap_or_else(constant));
        let inputs = [pack(&shared).unwrap_or_else(constant), x.clone(), memory, factors];
        let input = x.clone().inner();
        let after_recomputed = sink.after_recomputed;
        self.gradient_sink = Some(GradientSink { after_recomputed: true, ..sink.clone() });
        let vjp = move |gradient, [_, input_depth, memory_depth, factors_depth]: [usize; 4]| {
            let depths = [input_depth, memory_depth, factors_depth].map(|depth| leaf_depth(depth, after_recomputed));
            block.vjp(modules_without_autodiff.clone().train(), (input.clone(), depths), gradient, run, &sink)
        };
        let out = recompute(inputs, outputs.flat.clone(), Arc::new(vjp));
        self.split_outputs(outputs, out)
    }

    /// The result of a recomputed part, `[B, T, M]`, from its flat output. Published tensors and losses are kept in this context.
    fn split_outputs(&mut self, outputs: Outputs, flat: Tensor<1>) -> Tensor<3> {
        let (mut start, total) = (0, flat.dims()[0]);
        let mut next = |length: usize| {
            start += length;
            if length == total { flat.clone() } else { flat.clone().narrow(0, start - length, length) }
        };
        let published = outputs.published.into_iter().map(|(name, shape)| {
            let tensor = next(shape.iter().product());
            (name, tensor.reshape(shape))
        });
        let published: SharedValues = published.collect();
        let y = next(outputs.shape.iter().product()).reshape(outputs.shape);
        let losses = outputs.losses.into_iter().map(|loss| AuxiliaryLoss { value: next(1), ..loss });
        self.auxiliary_losses.extend(losses);
        self.shared.extend(published);
        y
    }

    /// Runs the part once with its graph stored. It reads the memory, and parameters of the stack's positions, through a
    /// barrier, so that its gradients of them add up before they meet those of other parts, as they do when the part is
    /// recomputed.
    fn forward_stored<P>(&mut self, part: &P, x: Tensor<3>, run: ForwardFn<P>) -> Tensor<3> {
        self.chain_token_factors();
        let (outer, factors) = (self.memory.clone(), self.token_factors.clone());
        self.token_factors = factors.as_ref().map(|factors| factors.map_values(graph_barrier));
        let later_position = self.position.as_ref().filter(|_| x.is_autodiff()).map(module_barrier);
        if let Some(position) = self.position.as_mut().filter(|_| x.is_autodiff()) {
            *position = module_barrier(position);
        }
        self.memory = outer.clone().map(|memory| Memory { hidden: graph_barrier(memory.hidden), ..memory });
        let y = run(part, x, self);
        (self.memory, self.token_factors) = (outer, factors);
        // Later parts read the positions at the next link of a chain: the gradients of a T5 table add up from the last part
        // to the first, as a gradient sink adds them.
        self.position = later_position.or(self.position.take());
        self.shared.end_block();
        y
    }

    /// Runs the part without a graph.
    fn forward_no_grad<P: Module>(
        &mut self,
        (part, position): PartWithPosition<P>,
        x: Tensor<3>,
        run: ForwardFn<P>,
    ) -> Outputs {
        let outer =
            (self.position.clone(), self.memory.clone(), self.gradient_sink.take(), self.take_auxiliary_losses());
        let shared = self.shared.detached();
        let outer_shared = std::mem::replace(&mut self.shared, shared);
        self.position = position;
        self.memory = self.memory.take().map(|memory| Memory { hidden: memory.hidden.detach(), ..memory });
        let factors = self.token_factors.clone();
        self.token_factors = factors.as_ref().map(|factors| factors.map_values(stop_gradient));
        let y = run(&part, x, self);
        let losses = self.take_auxiliary_losses();
        (self.position, self.memory, self.gradient_sink, self.auxiliary_losses) = outer;
        self.token_factors = factors;
        let shared = std::mem::replace(&mut self.shared, outer_shared);
        Outputs::new(y, losses, &shared)
    }

    /// Puts a barrier before the factors of tokens, and returns their values, which the next part reads.
    ///
    /// Every part reads a barrier that is chained to that of the part before it, so that each has two readers, this part and the
    /// barrier of the next: the gradients of any number of parts add up pairwise.
    fn chain_token_factors(&mut self) -> Option<Tensor<3>> {
        let factors = self.token_factors.take()?.map_values(graph_barrier);
        let values = factors.values().clone();
        self.token_factors = Some(factors);
        Some(values)
    }

    /// Everything of this context that the second run needs.
    fn recompute_block(&self, shared: &SharedValues) -> RecomputeBlock {
        RecomputeBlock {
            stream: self.stream.clone(),
            shared: shared.iter().map(|(name, tensor)| (*name, tensor.clone().inner())).collect(),
            memory: self.memory.clone().map(|memory| Memory { hidden: memory.hidden.inner(), ..memory }),
            factors: self.token_factors.as_ref().map(|factors| factors.map_values(without_graph)),
            rng_key: self.rng_key,
            kernel: self.forced_kernel,
            path: self.path.clone(),
        }
    }
}

/// Outputs of a part that is recomputed.
struct Outputs {
    /// All of them in one row, because the operation has one output: published tensors, the result, losses. The result is
    /// behind the published tensors, so that a backward pass finds its graph first.
    flat: Tensor<1>,
    /// Shapes of the published tensors.
    published: Vec<(SharedTensor, [usize; 4])>,
    /// Shape of the result.
    shape: [usize; 3],
    /// Auxiliary losses.
    losses: Vec<AuxiliaryLoss>,
    /// Tensors of earlier blocks that the part has read.
    read: Vec<SharedTensor>,
}

impl Outputs {
    fn new(y: Tensor<3>, losses: Vec<AuxiliaryLoss>, shared: &SharedStore) -> Self {
        let published = shared.published_in_block();
        Self {
            shape: y.dims(),
            flat: flatten_outputs(&published, y, &losses),
            published: published.into_iter().map(|(name, tensor)| (name, tensor.dims())).collect(),
            losses,
            read: shared.read_in_block(),
        }
    }
}

/// Inputs of a part's second run: tokens, memory, published tensors, factors of tokens, random-number key, forced kernel and path.
struct RecomputeBlock {
    stream: TokenStream,
    memory: Option<Memory>,
    /// Tensors of earlier blocks that the part reads, without autodiff.
    shared: SharedValues,
    factors: Option<TokenFactors>,
    rng_key: Option<RngKey>,
    kernel: Option<Kernel>,
    path: Vec<String>,
}

impl RecomputeBlock {
    /// Vector–Jacobian product: runs the part with a graph and returns the gradients of published tensors, input, memory and
    /// factors of tokens for `gradient`, the gradient of the flat output. Pushes the parameters' gradients into `sink`.
    fn vjp<P: Module>(
        &self,
        (part, position): PartWithPosition<P>,
        (x, depths): (Tensor<3>, [usize; 3]),
        gradient: Tensor<1>,
        run: ForwardFn<P>,
        sink: &GradientSink,
    ) -> [Option<Tensor<3>>; 4] {
        let x = new_leaf(x);
        let memory = self.memory.clone().map(|memory| (new_leaf(memory.hidden), memory.token_marks));
        let shared: SharedValues = self.shared.iter().map(|(name, tensor)| (*name, new_leaf(tensor.clone()))).collect();
        let mut cx = self.context(position.clone());
        cx.shared = SharedStore::with_published(shared.clone());
        cx.memory = memory.clone().map(|(hidden, token_marks): (Tensor<3>, TokenMarks)| Memory {
            hidden: pad_graph_depth(hidden, depths[1]),
            token_marks,
        });
        let factors = self.factors.as_ref().map(|factors| factors.map_values(new_leaf));
        cx.token_factors = factors.as_ref().map(|factors| factors.map_values(|leaf| pad_graph_depth(leaf, depths[2])));
        let y = run(&part, pad_graph_depth(x.clone(), depths[0]), &mut cx);
        let flat = flatten_outputs(&cx.shared.published_in_block(), y, &cx.take_auxiliary_losses());
        let mut graph = (flat * gradient.autodiff()).sum().backward();
        let of_shared = shared.iter().map(|(name, tensor)| {
            let gradient = tensor.grad_remove(&mut graph);
            (*name, gradient.unwrap_or_else(|| tensor.clone().inner().zeros_like()))
        });
        let of_shared = pack(&of_shared.collect());
        let of_memory = memory.and_then(|(hidden, _)| hidden.grad_remove(&mut graph));
        let of_factors = factors.and_then(|factors| factors.values().grad_remove(&mut graph));
        let gradients = [of_shared, x.grad_remove(&mut graph), of_memory, of_factors];
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
            token_factors: None,
            gradient_sink: None,
            loss_sink: None,
            shared: SharedStore::default(),
            auxiliary_losses: Vec::new(),
            expert_loads: Vec::new(),
            used_kernels: Vec::new(),
            path: self.path.clone(),
        }
    }
}

/// Published tensors, the values of `y` and one value for each loss in one row: `[Σ published + B·T·M + losses]`.
fn flatten_outputs(published: &SharedValues, y: Tensor<3>, losses: &[AuxiliaryLoss]) -> Tensor<1> {
    let length = y.shape().num_elements();
    let y = y.reshape([length]);
    if losses.is_empty() && published.is_empty() {
        return y;
    }
    let losses = losses.iter().map(|loss| loss.value.clone());
    let published = published.iter().map(|(_, tensor)| tensor.clone().flatten(0, 3));
    Tensor::cat(published.chain([y]).chain(losses).collect(), 0)
}

/// Tensors as one, `[1, 1, values]`; `None` if there are none.
fn pack(tensors: &SharedValues) -> Option<Tensor<3>> {
    let flat: Vec<Tensor<1>> = tensors.iter().map(|(_, tensor)| tensor.clone().flatten(0, 3)).collect();
    (!flat.is_empty()).then(|| Tensor::cat(flat, 0).unsqueeze())
}
