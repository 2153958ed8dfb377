//! What varies between calls of one `forward`: the stream of tokens, the memory, the state, the probe, randomness,
//! and the losses that parts add on the way. Training, prefill and decoding differ in nothing else.

pub mod marks;
pub mod probe;
mod random;
pub mod recompute;
pub mod state;
pub mod stream;
mod within;

pub use marks::{Marks, evaluate, within};
pub use probe::Probe;
pub use recompute::{Sink, own_place};
pub use state::{State, Stateful};
pub use stream::{Keys, Stream, ends};

use crate::position::Position;
use burn::tensor::{Device, Int, Tensor};
use kiln_kernels::{attention::Sight, planner::Kernel};
use kiln_spec::{Direction, Layout, Pattern};
use std::collections::HashMap;

/// Keys and values from elsewhere: what a cross attention looks at.
#[derive(Clone, Debug)]
pub struct Memory {
    /// `[B, S, M]`.
    pub hidden: Tensor<3>,
    /// Marks of its tokens.
    pub marks: Marks,
}

/// Names this call's random numbers: dropout and whatever else a part draws while it trains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Draws {
    /// The run's seed.
    pub seed: u64,
    /// The optimiser's step.
    pub step: u64,
    /// Which part of an accumulated batch.
    pub part: u64,
}

/// A loss that a part adds on the way: a router's balance, an indexer's divergence.
#[derive(Clone, Debug)]
pub struct Added {
    /// Its path and name.
    pub name: String,
    /// `[1]`, before the weight.
    pub value: Tensor<1>,
    /// What it counts in the sum.
    pub weight: f64,
}

/// The context of one call.
pub struct Cx {
    /// Tokens of this call and their keys.
    pub stream: Stream,
    /// Types of the tokens that are embedded next, `[B, T]`: the embedding takes them. Absent: all are of type 0.
    pub types: Option<Tensor<2, Int>>,
    /// What cross attention looks at.
    pub memory: Option<Memory>,
    /// The table of embeddings where an encoder has read it, for the decoder to read it there too: one place, so that
    /// with a tied head the table has two readers.
    pub table: Option<Tensor<2>>,
    /// What is kept between calls; none in training.
    pub state: Option<State>,
    /// Somebody who listens.
    pub probe: Option<Box<dyn Probe>>,
    /// Present while training: names the random numbers.
    pub draws: Option<Draws>,
    /// The stack's positions, which a layer inherits unless it has its own.
    pub position: Option<Position>,
    /// Tests force a kernel.
    pub kernel: Option<Kernel>,
    /// Present if blocks keep nothing for the backward pass and are run again in it.
    pub recompute: Option<Sink>,
    losses: Vec<Added>,
    path: Vec<String>,
}

impl Cx {
    /// A call over whole sequences, without state.
    pub fn new(layout: &Layout, device: &Device) -> Self {
        Self {
            stream: Stream::new(Marks::new(layout, device), HashMap::new()),
            types: None,
            memory: None,
            table: None,
            state: None,
            probe: None,
            draws: None,
            position: None,
            kernel: None,
            recompute: None,
            losses: Vec::new(),
            path: Vec::new(),
        }
    }

    /// The same while training: dropout acts, with these random numbers.
    pub fn training(layout: &Layout, draws: Draws, device: &Device) -> Self {
        Self { draws: Some(draws), ..Self::new(layout, device) }
    }

    /// A call that goes on where `state` ends, row `i` with `lengths[i]` of `width` tokens.
    pub fn resume(mut state: State, lengths: &[usize], width: usize, direction: Direction, device: &Device) -> Self {
        let layout = Layout::continued(state.next(), lengths, width, direction);
        let stream = Stream::new(Marks::new(&layout, device), state.kept.clone());
        Self { stream, memory: state.memory.take(), state: Some(state), ..Self::new(&layout, device) }
    }

    /// Gives the state back, moved on by `lengths` tokens a row.
    pub fn commit(self, lengths: &[usize]) -> Option<State> {
        let mut state = self.state?;
        state.advance(self.stream.kept(), lengths);
        Some(state.remembering(self.memory))
    }

    /// Runs a part under its name.
    pub fn scope<R>(&mut self, name: impl Into<String>, part: impl FnOnce(&mut Self) -> R) -> R {
        self.path.push(name.into());
        let result = part(self);
        self.path.pop();
        result
    }

    /// Runs `part` within another stream of tokens, which keeps no state and has positions of its own.
    pub fn beside<R>(&mut self, tokens: Marks, part: impl FnOnce(&mut Self) -> R) -> R {
        let stream = std::mem::replace(&mut self.stream, Stream::new(tokens, HashMap::new()));
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
    pub fn sight(&mut self, pattern: &Pattern, keys: Keys) -> Sight {
        self.stream.sight(pattern, keys, self.memory.as_ref().map(|m| &m.marks))
    }

    /// Takes what `leaf` kept. `None`: nothing is kept in this call. `Some(default)`: nothing was kept yet.
    pub fn take<S: Stateful + Default>(&mut self, leaf: &str) -> Option<S> {
        let path = self.path(leaf);
        let slot = self.state.as_mut()?.slots.remove(&path);
        Some(slot.and_then(|slot| slot.any().downcast().ok()).map_or_else(S::default, |state| *state))
    }

    /// Puts back what `leaf` keeps.
    pub fn put<S: Stateful>(&mut self, leaf: &str, kept: S) {
        let path = self.path(leaf);
        if let Some(state) = self.state.as_mut() {
            state.slots.insert(path, Box::new(kept));
        }
    }

    /// The full path of `leaf`, if somebody listens there.
    pub fn listened(&self, leaf: &str) -> Option<String> {
        let probe = self.probe.as_ref()?;
        let path = self.path(leaf);
        probe.wants(&path).then_some(path)
    }

    /// Shows `value` to whoever listens at `leaf`.
    pub fn show<const D: usize>(&mut self, leaf: &str, value: Tensor<D>) -> Tensor<D> {
        let Some(path) = self.listened(leaf) else { return value };
        let Some(probe) = self.probe.as_mut() else { return value };
        let shape = value.dims();
        let mut wide = [1; 4];
        wide[4 - D..].copy_from_slice(&shape);
        probe.at(&path, value.reshape(wide)).reshape(shape)
    }

    /// Adds a loss on the way: `value [1]`, counted `weight` times.
    pub fn add_loss(&mut self, name: &str, value: Tensor<1>, weight: f64) {
        let name = self.path(name);
        self.losses.push(Added { name, value, weight });
    }

    /// The losses added so far.
    pub fn take_losses(&mut self) -> Vec<Added> {
        std::mem::take(&mut self.losses)
    }
}
