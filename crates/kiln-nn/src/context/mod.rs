//! What varies between calls of one `forward`: the stream of tokens, the memory, the state, the probe, randomness,
//! and the losses that parts add on the way. Training, prefill and decoding differ in nothing else.

pub mod probe;
mod random;
pub mod recompute;
pub mod state;
pub mod stream;
mod substream;
pub mod token_marks;

pub use probe::Probe;
pub use recompute::GradientSink;
pub use state::{State, Stateful};
pub use stream::{KeySource, TokenStream, retained_counts};
pub use token_marks::{TokenMarks, evaluate_formula, keep_ends};

use crate::position::Position;
use burn::tensor::{Device, Int, Tensor};
use kiln_kernels::{attention::BlockMask, planner::Kernel};
use kiln_spec::{Direction, Layout, Pattern};
use std::collections::HashMap;

/// Keys and values from elsewhere: what a cross attention looks at.
#[derive(Clone, Debug)]
pub struct Memory {
    /// `[B, S, M]`.
    pub hidden: Tensor<3>,
    /// Marks of its tokens.
    pub token_marks: TokenMarks,
}

/// Names this call's random numbers: dropout and whatever else a part draws while it trains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RngKey {
    /// The run's seed.
    pub seed: u64,
    /// The optimiser's step.
    pub step: u64,
    /// Which part of an accumulated batch.
    pub micro_batch: u64,
}

/// A loss that a part adds on the way: a router's balance, an indexer's divergence.
#[derive(Clone, Debug)]
pub struct AuxiliaryLoss {
    /// Its path and name.
    pub name: String,
    /// `[1]`, before the weight.
    pub value: Tensor<1>,
    /// What it counts in the sum.
    pub weight: f64,
}

/// The context of one call.
pub struct Context {
    /// Tokens of this call and their keys.
    pub stream: TokenStream,
    /// Types of the tokens that are embedded next, `[B, T]`: the embedding takes them. Absent: all are of type 0.
    pub token_types: Option<Tensor<2, Int>>,
    /// What cross attention looks at.
    pub memory: Option<Memory>,
    /// The table of embeddings where an encoder has read it, for the decoder to read it there too: one place, so that
    /// with a tied head the table has two readers.
    pub embedding_table: Option<Tensor<2>>,
    /// What is kept between calls; none in training.
    pub state: Option<State>,
    /// Somebody who listens.
    pub probe: Option<Box<dyn Probe>>,
    /// Present while training: names the random numbers.
    pub rng_key: Option<RngKey>,
    /// The stack's positions, which a layer inherits unless it has its own.
    pub position: Option<Position>,
    /// Tests force a kernel.
    pub forced_kernel: Option<Kernel>,
    /// Present if blocks keep nothing for the backward pass and are run again in it.
    pub gradient_sink: Option<GradientSink>,
    auxiliary_losses: Vec<AuxiliaryLoss>,
    used_kernels: Vec<Kernel>,
    path: Vec<String>,
}

impl Context {
    /// A call over whole sequences, without state.
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
            forced_kernel: None,
            gradient_sink: None,
            auxiliary_losses: Vec::new(),
            used_kernels: Vec::new(),
            path: Vec::new(),
        }
    }

    /// The same while training: dropout acts, with these random numbers.
    pub fn training(layout: &Layout, draws: RngKey, device: &Device) -> Self {
        Self { rng_key: Some(draws), ..Self::new(layout, device) }
    }

    /// A call that goes on where `state` ends, row `i` with `lengths[i]` of `width` tokens.
    pub fn resume(mut state: State, lengths: &[usize], width: usize, direction: Direction, device: &Device) -> Self {
        let layout = Layout::from_offsets(state.next_positions(), lengths, width, direction);
        let stream = TokenStream::new(TokenMarks::new(&layout, device), state.cached_keys.clone());
        Self { stream, memory: state.memory.take(), state: Some(state), ..Self::new(&layout, device) }
    }

    /// Gives the state back, moved on by `lengths` tokens a row.
    pub fn commit(self, lengths: &[usize]) -> Option<State> {
        let mut state = self.state?;
        state.advance(self.stream.keys_to_cache(), lengths);
        Some(state.with_memory(self.memory))
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

    /// Runs a part under its name.
    pub fn scope<R>(&mut self, name: impl Into<String>, part: impl FnOnce(&mut Self) -> R) -> R {
        self.path.push(name.into());
        let result = part(self);
        self.path.pop();
        result
    }

    /// Runs `part` within another stream of tokens, which keeps no state and has positions of its own.
    pub fn with_separate_stream<R>(&mut self, tokens: TokenMarks, part: impl FnOnce(&mut Self) -> R) -> R {
        let stream = std::mem::replace(&mut self.stream, TokenStream::new(tokens, HashMap::new()));
        let (state, position) = (self.state.take(), self.position.take());
        let result = part(self);
        (self.stream, self.state, self.position) = (stream, state, position);
        result
    }

    /// The path of `leaf` here.
    pub fn path(&self, leaf: &str) -> String {
        let mut path = self.path.join(".");
        if !path.is_empty() && !leaf.is_empty() {
            path.push('.');
        }
        path + leaf
    }

    /// Who of this call sees which keys.
    pub fn block_mask(&mut self, pattern: &Pattern, keys: KeySource) -> BlockMask {
        self.stream.block_mask(pattern, keys, self.memory.as_ref().map(|m| &m.token_marks))
    }

    /// Takes what `leaf` kept. `None`: nothing is kept in this call. `Some(default)`: nothing was kept yet.
    pub fn take_state<S: Stateful + Default>(&mut self, leaf: &str) -> Option<S> {
        let path = self.path(leaf);
        let slot = self.state.as_mut()?.slots.remove(&path);
        Some(slot.and_then(|slot| slot.into_any().downcast().ok()).map_or_else(S::default, |state| *state))
    }

    /// Puts back what `leaf` keeps.
    pub fn put_state<S: Stateful>(&mut self, leaf: &str, kept: S) {
        let path = self.path(leaf);
        if let Some(state) = self.state.as_mut() {
            state.slots.insert(path, Box::new(kept));
        }
    }

    /// The full path of `leaf`, if somebody listens there.
    pub fn probed_path(&self, leaf: &str) -> Option<String> {
        let probe = self.probe.as_ref()?;
        let path = self.path(leaf);
        probe.wants(&path).then_some(path)
    }

    /// Shows `value` to whoever listens at `leaf`.
    pub fn probe_value<const D: usize>(&mut self, leaf: &str, value: Tensor<D>) -> Tensor<D> {
        let Some(path) = self.probed_path(leaf) else { return value };
        let Some(probe) = self.probe.as_mut() else { return value };
        let shape = value.dims();
        let mut wide = [1; 4];
        wide[4 - D..].copy_from_slice(&shape);
        probe.intercept(&path, value.reshape(wide)).reshape(shape)
    }

    /// Adds a loss on the way: `value [1]`, counted `weight` times.
    pub fn add_auxiliary_loss(&mut self, name: &str, value: Tensor<1>, weight: f64) {
        let name = self.path(name);
        self.auxiliary_losses.push(AuxiliaryLoss { name, value, weight });
    }

    /// The losses added so far.
    pub fn take_auxiliary_losses(&mut self) -> Vec<AuxiliaryLoss> {
        std::mem::take(&mut self.auxiliary_losses)
    }
}
