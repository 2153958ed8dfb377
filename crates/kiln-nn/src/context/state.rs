//! Decode state: what parts store between calls, in slots by path.

use super::{Memory, token_marks::TokenMarks};
use kiln_kernels::exact::Arithmetic;
use kiln_spec::plan::CachePolicy;
use std::{any::Any, collections::HashMap};

/// State of one part between calls: a key-value cache, a recurrent state.
pub trait Stateful: Any + Send {
    /// Returns the size in bytes.
    fn bytes(&self) -> usize;
    /// Returns the state as `Any`, so that [`Context::take_state`](super::Context::take_state) can downcast it.
    fn into_any(self: Box<Self>) -> Box<dyn Any>;
}

/// Decode state of a batch of sequences: empty before the first token, passed through every call. The default state fits
/// any number of rows.
///
/// It is consumed by [`Context::resume`](super::Context::resume) and returned by
/// [`Context::commit`](super::Context::commit). Size: [`bytes`](Self::bytes).
///
/// A sequence of three tokens, then one more, through one attention layer:
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use kiln_nn::part::PartConfig;
/// use kiln_nn::position::PositionConfig;
/// use kiln_nn::{BuildContext, Context, Initializer, State};
/// use kiln_spec::Direction;
///
/// let device = Device::flex();
/// let position = PositionConfig::default();
/// let build = BuildContext {
///     hidden: 16,
///     vocab: 100,
///     heads: 4,
///     dropout: 0.0,
///     position: &position,
///     direction: Direction::Causal,
/// };
/// let mut config: PartConfig = serde_json::from_str("\"attention\"").unwrap();
/// config.resolve(&build);
/// let attention = config.init(&build, &mut Initializer::new(7, &device));
///
/// let mut state = State::new(1);
/// for length in [3, 1] {
///     let mut cx = Context::resume(state, &[length], length, Direction::Causal, &device);
///     attention.forward(Tensor::ones([1, length, 16], &device), &mut cx);
///     state = cx.commit(&[length]).unwrap();
/// }
/// assert_eq!(state.next_positions(), [4]);
/// // Keys and values of four tokens, 16 values of 4 bytes each.
/// assert_eq!(state.bytes(), 2 * 4 * 16 * 4);
/// ```
#[derive(Default)]
pub struct State {
    /// State of each part, by path: `blocks.3.attention.entries`.
    pub(super) slots: HashMap<String, Box<dyn Stateful>>,
    /// Marks of the cached keys, by cache policy.
    pub(super) cached_keys: HashMap<CachePolicy, TokenMarks>,
    pub(super) memory: Option<Memory>,
    /// Arithmetic of the calls.
    pub(super) arithmetic: Arithmetic,
    /// Position of the next token in each row.
    next_positions: Vec<usize>,
}

impl State {
    /// Returns the state of `rows` sequences before their first token.
    pub fn new(rows: usize) -> Self {
        Self { next_positions: vec![0; rows], ..Self::default() }
    }

    /// Sets the encoder output that the sequences read, of as many rows.
    pub fn with_memory(self, memory: Option<Memory>) -> Self {
        Self { memory, ..self }
    }

    /// Sets the arithmetic of the calls.
    pub fn with_arithmetic(self, arithmetic: Arithmetic) -> Self {
        Self { arithmetic, ..self }
    }

    /// Returns the arithmetic of the calls.
    pub fn arithmetic(&self) -> Arithmetic {
        self.arithmetic
    }

    /// Makes a default state that of `rows` sequences. Without it the call would have no rows, and Burn's matrix product
    /// crashes on empty matrices.
    pub(super) fn set_rows_if_default(&mut self, rows: usize) {
        if self.next_positions.is_empty() {
            self.next_positions = vec![0; rows];
        }
    }

    /// Returns the position of the next token in each row.
    pub fn next_positions(&self) -> &[usize] {
        &self.next_positions
    }

    /// Advances the positions by `count` virtual tokens in each row.
    pub(super) fn skip_positions(&mut self, count: usize) {
        self.next_positions.iter_mut().for_each(|next| *next += count);
    }

    /// Returns the bytes of all slots and of the encoder output. Marks of cached keys aren't counted.
    pub fn bytes(&self) -> usize {
        let memory = self.memory.iter().map(|memory| {
            let hidden = &memory.hidden;
            hidden.shape().num_elements() * hidden.dtype().size()
        });
        self.slots.values().map(|slot| slot.bytes()).chain(memory).sum()
    }

    /// Returns the paths of the slots in use, sorted.
    pub fn slot_paths(&self) -> Vec<&str> {
        let mut paths: Vec<&str> = self.slots.keys().map(String::as_str).collect();
        paths.sort_unstable();
        paths
    }

    /// Advances the positions by `lengths[i]` tokens in row i and stores the marks of the cached keys. Apart from
    /// virtual tokens, the only place where positions advance.
    pub(super) fn advance(&mut self, cached_keys: HashMap<CachePolicy, TokenMarks>, lengths: &[usize]) {
        self.cached_keys = cached_keys;
        for (next, length) in self.next_positions.iter_mut().zip(lengths) {
            *next += length;
        }
    }
}
