//! Context of a forward pass: everything that varies between calls of one `forward`.
//!
//! Training, prefill and decoding run the same modules; they differ only in their context:
//!
//! | | tokens | state | random-number key | gradient sink |
//! |---|---|---|---|---|
//! | training | whole packed rows | – | yes | with gradient checkpointing |
//! | evaluation | whole packed rows | – | – | – |
//! | prefill, decoding | the next tokens of each row | yes | – | – |
//!
//! A context also carries the path of the running part (`blocks.3.attention`), which names its state, its random numbers, its
//! probes and its losses. [`Context::scope`] extends the path. What is derived from the tokens (masks, rotary tables) is
//! computed once per call, in [`TokenStream`].

pub mod context_lengths;
mod key_marks;
pub mod probe;
mod random;
pub mod recompute;
pub mod rows;
pub mod shared;
pub mod state;
mod state_error;
pub mod stream;
mod substream;
pub mod token_marks;

pub use context_lengths::ContextLengths;
pub use key_marks::{KeyMarks, VisiblePages};
pub use probe::Probe;
pub use recompute::GradientSink;
pub use shared::{KeyValueLink, LayerLinks, SharedTensor};
pub use state::{State, Stateful};
pub use state_error::StateError;
pub use stream::{KeySource, TokenStream};
pub use token_marks::{TokenMarks, evaluate_formula};

use crate::{adapter::TokenFactors, part::experts::ExpertLoad, position::Position};
use burn::tensor::{Device, Int, Tensor};
use kiln_kernels::{attention::BlockMask, exact::Arithmetic, planner::Kernel};
use kiln_spec::{Direction, Layout, Pattern, formula::MarkField};
use rows::{Incompatible, Rewindable, RowTensors};
use shared::SharedStore;
use std::collections::HashMap;

/// Encoder output: the source of keys and values of cross-attention.
#[derive(Clone, Debug)]
pub struct Memory {
    /// Hidden states, `[B, S, M]`.
    pub hidden: Tensor<3>,
    /// Marks of the encoder's tokens, `[B, S]`.
    pub token_marks: TokenMarks,
}

impl Memory {
    /// Returns rows by index.
    fn select(&self, rows: &[usize]) -> Self {
        Self { hidden: rows::select_rows(&self.hidden, rows), token_marks: self.token_marks.select(rows) }
    }

    /// Returns the rows of both. Shorter rows are padded.
    fn append(first: Option<Self>, second: Option<Self>) -> Result<Option<Self>, Incompatible> {
        let (first, second) = match (first, second) {
            (Some(first), Some(second)) => (first, second),
            (None, None) => return Ok(None),
            (first, _) => {
                let sides = if first.is_some() { ["an encoder output", "none"] } else { ["none", "an encoder output"] };
                return Err(Incompatible { expected: sides[0].into(), found: sides[1].into() });
            }
        };
        let token_marks = first.token_marks.append(&second.token_marks);
        let token_marks = token_marks.ok_or_else(|| Incompatible::kind("marks that the host knows"))?;
        let hidden = rows::append_padded(first.hidden, second.hidden, 1)?;
        Ok(Some(Self { hidden, token_marks }))
    }
}

/// Key of a training call's random numbers. A number depends on this key, the use (`dropout`) and the path, on nothing else:
/// the same step gives the same numbers after a resume, on every backend, in any order of execution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RngKey {
    /// Seed of the run.
    pub seed: u64,
    /// Optimizer step, from 0.
    pub step: u64,
    /// Number of the micro-batch within the step (gradient accumulation), from 0.
    pub micro_batch: u64,
}

/// Loss that a part adds to the training loss, such as a router's load-balancing loss.
#[derive(Clone, Debug)]
pub struct AuxiliaryLoss {
    /// Path and name: `blocks.3.feed_forward.balance`. Metrics are recorded under it.
    pub name: String,
    /// Value `[1]`, before the weight.
    pub value: Tensor<1>,
    /// Coefficient in the total loss.
    pub weight: f64,
}

/// Context of one forward pass; see the [module](self).
pub struct Context {
    /// Tokens of this call, the keys that they can see, and what is derived from both.
    pub stream: TokenStream,
    /// Token types (segments), `[B, T]`. The input embedding takes them out. Absent: type 0 for all tokens.
    pub token_types: Option<Tensor<2, Int>>,
    /// Encoder output that cross-attention reads. Absent: cross-attention returns 0.
    pub memory: Option<Memory>,
    /// Embedding table behind a barrier, set by the encoder for the decoder to read. With a tied head the table itself then
    /// has two readers, the barrier and the head; [`crate::autograd_order`] says why that matters.
    pub embedding_table: Option<Tensor<2>>,
    /// Decode state between calls. Absent in training and evaluation.
    pub state: Option<State>,
    /// Probe that reads, and may change, intermediate values.
    pub probe: Option<Box<dyn Probe>>,
    /// Random-number key. Present in training only; dropout and other random choices act if it is.
    pub rng_key: Option<RngKey>,
    /// Position encoding of the stack. An attention without its own uses it.
    pub position: Option<Position>,
    /// Arithmetic of the call: fast, or batch-invariant. That of a state comes from the state.
    pub arithmetic: Arithmetic,
    /// Attention kernel that a test forces.
    pub forced_kernel: Option<Kernel>,
    /// Factors of adapters for each token of this call; `None`: those of the model alone.
    pub token_factors: Option<TokenFactors>,
    /// Gradient sink. Present with gradient checkpointing: blocks are then recomputed in the backward pass.
    pub gradient_sink: Option<GradientSink>,
    /// Gradient sink for a loss that recomputes its logits in the backward pass. Present in a training step, with or without
    /// gradient checkpointing of blocks.
    pub loss_sink: Option<GradientSink>,
    /// What layers of the running stack have published for later ones.
    shared: SharedStore,
    auxiliary_losses: Vec<AuxiliaryLoss>,
    /// Loads of experts with a selection bias; see [`Context::add_expert_load`].
    pub(crate) expert_loads: Vec<ExpertLoad>,
    used_kernels: Vec<Kernel>,
    path: Vec<String>,
}

impl Context {
    /// Returns the context of a call over whole sequences, without state and randomness: evaluation.
    pub fn new(layout: &Layout, device: &Device) -> Self {
        Self {
            stream: TokenStream::new(TokenMarks::new(layout, device), HashMap::new()),
            token_types: None,
            memory: None,
            embedding_table: None,
            state: None,
            probe: None,
            rng_key: None,
            position: None,
            arithmetic: Arithmetic::Fast,
            forced_kernel: None,
            token_factors: None,
            gradient_sink: None,
            loss_sink: None,
            shared: SharedStore::default(),
            auxiliary_losses: Vec::new(),
            expert_loads: Vec::new(),
            used_kernels: Vec::new(),
            path: Vec::new(),
        }
    }

    /// Returns the context of a training call over whole sequences: dropout acts, with random numbers of `rng_key`.
    pub fn training(layout: &Layout, rng_key: RngKey, device: &Device) -> Self {
        Self { rng_key: Some(rng_key), ..Self::new(layout, device) }
    }

    /// Returns the context of a call that continues the sequences of `state`: row i has `lengths[i]` new tokens in a row of
    /// `width`, the rest is padding. Prefill and decoding; [`commit`](Self::commit) gives the state back.
    pub fn resume(mut state: State, lengths: &[usize], width: usize, direction: Direction, device: &Device) -> Self {
        state.set_rows_if_default(lengths.len());
        state.fix_context_lengths(lengths);
        let layout = Layout::from_offsets(state.next_positions(), lengths, width, direction);
        let tokens = TokenMarks::new(&layout, device).with_row_lengths(state.context_lengths());
        let stream = TokenStream::new(tokens, state.cached_keys.clone());
        let (memory, arithmetic) = (state.memory.take(), state.arithmetic);
        Self { stream, memory, arithmetic, state: Some(state), ..Self::new(&layout, device) }
    }

    /// Returns the same context with another arithmetic.
    pub fn with_arithmetic(self, arithmetic: Arithmetic) -> Self {
        Self { arithmetic, ..self }
    }

    /// Returns the state after this call, with positions advanced by `lengths[i]` tokens in row i. `None` without a state.
    pub fn commit(mut self, lengths: &[usize]) -> Option<State> {
        let mut state = self.state?;
        state.advance(self.stream.keys_to_cache(), lengths);
        Some(state.with_memory(self.memory))
    }

    /// Continues from another state instead: the tokens of this call now follow `count` tokens that were read into it.
    pub fn continue_from(&mut self, state: State, count: usize) {
        let device = self.stream.tokens.field(MarkField::Position).device();
        if let Some(layout) = self.stream.tokens.layout() {
            let tokens = TokenMarks::new(&layout.shift_positions(count), &device);
            let tokens = tokens.with_row_lengths(state.context_lengths());
            self.stream = TokenStream::new(tokens, state.cached_keys.clone());
        }
        self.state = Some(state);
    }

    /// Reads other tokens in this first call of a state instead: `count` tokens more in each row, which the state counts.
    pub fn restart(&mut self, tokens: TokenMarks, count: usize) {
        let tokens = match &mut self.state {
            Some(state) => {
                state.skip_positions(count);
                state.extend_context_lengths(count);
                tokens.with_row_lengths(state.context_lengths())
            }
            None => tokens,
        };
        self.stream = TokenStream::new(tokens, HashMap::new());
    }

    /// Notes that a layer of this call computed attention by `kernel`.
    pub fn record_kernel(&mut self, kernel: Kernel) {
        if !self.used_kernels.contains(&kernel) {
            self.used_kernels.push(kernel);
        }
    }

    /// Kernels that the attention layers of this call used, each once, in the order of their first use.
    pub fn used_kernels(&self) -> &[Kernel] {
        &self.used_kernels
    }

    /// Runs `part` with `name` appended to the path.
    pub fn scope<R>(&mut self, name: impl Into<String>, part: impl FnOnce(&mut Self) -> R) -> R {
        self.path.push(name.into());
        let result = part(self);
        self.path.pop();
        result
    }

    /// Runs `part` on another sequence of tokens, without state and with its own positions: the encoder of an
    /// encoder–decoder. Stream, state and position encoding are restored afterward.
    pub fn with_separate_stream<R>(&mut self, tokens: TokenMarks, part: impl FnOnce(&mut Self) -> R) -> R {
        let stream = std::mem::replace(&mut self.stream, TokenStream::new(tokens, HashMap::new()));
        let (state, position) = (self.state.take(), self.position.take());
        let result = part(self);
        (self.stream, self.state, self.position) = (stream, state, position);
        result
    }

    /// Returns the path of `name` in the current scope: `blocks.3.attention.weights`. An empty name gives the scope's path.
    pub fn path(&self, name: &str) -> String {
        let mut path = self.path.join(".");
        if !path.is_empty() && !name.is_empty() {
            path.push('.');
        }
        path + name
    }

    /// Returns the block mask of a pattern over the given keys; computed once per call for each pair.
    pub fn block_mask(&mut self, pattern: &Pattern, keys: KeySource) -> BlockMask {
        self.stream.block_mask(pattern, keys, self.memory.as_ref().map(|memory| &memory.token_marks))
    }

    /// Takes the state slot of `name` out. `None`: this call has no state. `Some(default)`: the slot is empty, or holds another
    /// type.
    pub fn take_state<S: Stateful + Default>(&mut self, name: &str) -> Option<S> {
        let path = self.path(name);
        let slot = self.state.as_mut()?.slots.remove(&path);
        Some(slot.and_then(|slot| slot.into_any().downcast().ok()).map_or_else(S::default, |state| *state))
    }

    /// Stores the state slot of `name` for the next call. Does nothing if this call has no state.
    pub fn put_state<S: Stateful>(&mut self, name: &str, slot: S) {
        let path = self.path(name);
        if let Some(state) = self.state.as_mut() {
            state.slots.insert(path, Box::new(slot));
        }
    }

    /// Takes the state that sums up all tokens out of its slot. `None`: this call has no state. `Some(None)`: no token was read.
    /// [`put_recurrent`](Self::put_recurrent) stores it again.
    pub fn take_recurrent<S: RowTensors>(&mut self, name: &str) -> Option<Option<S>> {
        let mut slot: Rewindable<S> = self.take_state(name)?;
        let state = slot.take();
        self.put_state(name, slot);
        Some(state)
    }

    /// Stores a state that sums up all tokens, after those of this call, with a snapshot where one is due. Does nothing if this
    /// call has no state.
    pub fn put_recurrent<S: RowTensors>(&mut self, name: &str, state: S) {
        let Some(mut slot) = self.take_state::<Rewindable<S>>(name) else { return };
        let [rows, width] = self.stream.tokens.dims();
        slot.advance(state, &self.stream.tokens.row_lengths().unwrap_or_else(|| vec![width; rows]));
        self.put_state(name, slot);
    }

    /// Returns the path of `name` if a probe reads it, otherwise `None`.
    pub fn probed_path(&self, name: &str) -> Option<String> {
        let probe = self.probe.as_ref()?;
        let path = self.path(name);
        probe.wants(&path).then_some(path)
    }

    /// Passes `value` through the probe at `name` and returns the value to use. Without a probe there it returns `value`
    /// unchanged and at no cost. D ≤ 4; the probe sees leading dimensions of 1.
    pub fn probe_value<const D: usize>(&mut self, name: &str, value: Tensor<D>) -> Tensor<D> {
        let Some(path) = self.probed_path(name) else { return value };
        let Some(probe) = self.probe.as_mut() else { return value };
        let shape = value.dims();
        let mut shape4 = [1; 4];
        shape4[4 - D..].copy_from_slice(&shape);
        probe.intercept(&path, value.reshape(shape4)).reshape(shape)
    }

    /// Adds an auxiliary loss: `value [1]`, times `weight` in the total. It is recorded under the path of `name`.
    pub fn add_auxiliary_loss(&mut self, name: &str, value: Tensor<1>, weight: f64) {
        let name = self.path(name);
        self.auxiliary_losses.push(AuxiliaryLoss { name, value, weight });
    }

    /// Takes the auxiliary losses added so far, in the order in which parts added them.
    pub fn take_auxiliary_losses(&mut self) -> Vec<AuxiliaryLoss> {
        std::mem::take(&mut self.auxiliary_losses)
    }
}
