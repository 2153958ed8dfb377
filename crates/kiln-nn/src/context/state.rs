//! What stateful parts keep between calls, in slots by path.

use super::{Memory, token_marks::TokenMarks};
use kiln_spec::plan::CachePolicy;
use std::{any::Any, collections::HashMap};

/// What a part keeps between calls: keys and values, a recurrent state, a convolution's tail…
pub trait Stateful: Any + Send {
    /// Bytes it holds.
    fn bytes(&self) -> usize;
    /// For the slot that gives it back by type.
    fn into_any(self: Box<Self>) -> Box<dyn Any>;
}

/// The state of a sequence that goes on: made empty, moved through every call.
#[derive(Default)]
pub struct State {
    pub(super) slots: HashMap<String, Box<dyn Stateful>>,
    pub(super) cached_keys: HashMap<CachePolicy, TokenMarks>,
    pub(super) memory: Option<Memory>,
    /// Position of the next token, a row.
    next_positions: Vec<usize>,
}

impl State {
    /// The state before the first token of `rows` sequences.
    pub fn new(rows: usize) -> Self {
        Self { next_positions: vec![0; rows], ..Self::default() }
    }

    /// The same before a memory of as many rows.
    pub fn with_memory(self, memory: Option<Memory>) -> Self {
        Self { memory, ..self }
    }

    /// Position of the next token in each row.
    pub fn next_positions(&self) -> &[usize] {
        &self.next_positions
    }

    /// Bytes held by all slots and the memory.
    pub fn bytes(&self) -> usize {
        let memory = self.memory.iter().map(|m| m.hidden.shape().num_elements() * m.hidden.dtype().size());
        self.slots.values().map(|slot| slot.bytes()).chain(memory).sum()
    }

    /// Paths of the slots in use.
    pub fn slot_paths(&self) -> Vec<&str> {
        let mut paths: Vec<&str> = self.slots.keys().map(String::as_str).collect();
        paths.sort_unstable();
        paths
    }

    /// Moves on by `lengths` tokens a row. The one place where positions advance.
    pub(super) fn advance(&mut self, kept: HashMap<CachePolicy, TokenMarks>, lengths: &[usize]) {
        self.cached_keys = kept;
        for (next, length) in self.next_positions.iter_mut().zip(lengths) {
            *next += length;
        }
    }
}
