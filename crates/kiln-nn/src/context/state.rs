//! Decode state: what parts store between calls, in slots by path, and the operations on its rows.

use super::{KeyMarks, Memory, rows::Incompatible, state_error::StateError};
use kiln_kernels::{attention::paged::CacheDtype, exact::Arithmetic};
use kiln_spec::plan::CachePolicy;
use std::{
    any::Any,
    collections::{BTreeSet, HashMap, HashSet},
};

/// State of one part between calls: a key-value cache, a recurrent state.
///
/// Its rows come and go with those of the [`State`]. [`CacheRows`](super::rows::CacheRows) and
/// [`Rewindable`](super::rows::Rewindable) implement the operations for state by key and for state that sums up all tokens.
pub trait Stateful: Any + Send {
    /// Returns the size in bytes. Pages that rows share count once.
    fn bytes(&self) -> usize;
    /// Returns the bytes of snapshots that [`bytes`](Self::bytes) leaves out.
    fn snapshot_bytes(&self) -> usize {
        0
    }
    /// Returns the state as `Any`, so that [`Context::take_state`](super::Context::take_state) can downcast it.
    fn into_any(self: Box<Self>) -> Box<dyn Any>;
    /// Returns the rows of the given indices, in this order; a row may be named several times. Pages and snapshots are shared,
    /// and a row that writes changes no other.
    fn select(&self, rows: &[usize]) -> Box<dyn Stateful>;
    /// Appends the rows of another slot of the same path.
    ///
    /// # Errors
    /// If the other slot is of another kind, shape, type or device.
    fn append(&mut self, other: Box<dyn Any>) -> Result<(), Incompatible>;
    /// Appends rows before their first token.
    fn append_empty(&mut self, rows: usize);
    /// Returns by how many tokens a row can go back: the least number from `count` on, `None` if there is none. The whole row
    /// can be removed, but only if `count` is its length.
    fn rewind_distance(&self, row: usize, count: usize) -> Option<usize>;
    /// Removes the last `counts[i]` tokens of row i, numbers that [`rewind_distance`](Self::rewind_distance) returned.
    fn truncate(&mut self, counts: &[usize]);
}

/// Marks of cached keys by cache policy.
pub(super) type PolicyKeys = HashMap<CachePolicy, KeyMarks>;

/// Rows of the marks, by index.
pub(super) fn select_keys(keys: &PolicyKeys, rows: &[usize]) -> PolicyKeys {
    keys.iter().map(|(policy, keys)| (*policy, keys.select(rows))).collect()
}

/// Appends the rows of other marks. Both have the same policies.
pub(super) fn append_keys(keys: &mut PolicyKeys, other: PolicyKeys) -> Result<(), Incompatible> {
    for (policy, other) in other {
        match keys.get_mut(&policy) {
            Some(keys) => keys.append(other)?,
            None => return Err(Incompatible { expected: "no such cache".into(), found: format!("{policy:?}") }),
        }
    }
    Ok(())
}

/// Appends rows before their first key.
pub(super) fn append_empty_keys(keys: &mut PolicyKeys, rows: usize) {
    for (policy, keys) in keys {
        // Both have this policy.
        let _ = keys.append(KeyMarks::new(*policy, rows));
    }
}

/// See [`Stateful::rewind_distance`]: the greatest over all policies, which have snapshots at the same lengths.
pub(super) fn keys_rewind_distance(keys: &PolicyKeys, row: usize, count: usize) -> Option<usize> {
    keys.values().try_fold(count, |count, keys| keys.rewind_distance(row, count))
}

/// Decode state of a batch of sequences: empty before the first token, passed through every call. The default state fits
/// any number of rows.
///
/// It is consumed by [`Context::resume`](super::Context::resume) and returned by
/// [`Context::commit`](super::Context::commit). Size: [`bytes`](Self::bytes).
///
/// Rows are independent of each other. [`fork`](Self::fork), [`select`](Self::select), [`append`](Self::append) and
/// [`truncate`](Self::truncate) change slots, marks, positions, encoder output and the states of substreams together. Cached
/// keys and values are in pages of 64 tokens; rows share pages, and a page is copied when a row writes into a shared one.
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
/// // Keys and values in one page of 64 tokens, four heads of 4 values, each head padded to 16 values of 4 bytes.
/// assert_eq!(state.bytes(), 2 * 64 * 4 * 16 * 4);
///
/// // A second row that shares the page, and forgets the last two tokens.
/// state.append(state.fork(&[0])?)?;
/// assert_eq!(state.truncate(&[4, 2])?, [4, 2]);
/// assert_eq!((state.next_positions(), state.bytes()), (&[4, 2][..], 2 * 64 * 4 * 16 * 4));
/// # Ok::<(), kiln_nn::StateError>(())
/// ```
#[derive(Default)]
pub struct State {
    /// State of each part, by path: `blocks.3.attention.entries`.
    pub(super) slots: HashMap<String, Box<dyn Stateful>>,
    /// Marks of the cached keys, by cache policy.
    pub(super) cached_keys: PolicyKeys,
    pub(super) memory: Option<Memory>,
    /// Arithmetic of the calls.
    pub(super) arithmetic: Arithmetic,
    /// Position of the next token in each row.
    next_positions: Vec<usize>,
    /// Context length of each row: declared, and fixed when the row begins. A missing one is not declared.
    context_lengths: Vec<usize>,
    cache_dtype: CacheDtype,
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

    /// Sets the type of cached keys and values. Default: 32 bits.
    ///
    /// It holds for caches that begin from now on: set it before the first token.
    pub fn with_cache_dtype(self, cache_dtype: CacheDtype) -> Self {
        Self { cache_dtype, ..self }
    }

    /// Returns the type of cached keys and values.
    pub fn cache_dtype(&self) -> CacheDtype {
        self.cache_dtype
    }

    /// Makes a default state that of `rows` sequences. Without it the call would have no rows, and Burn's matrix product
    /// crashes on empty matrices.
    pub(super) fn set_rows_if_default(&mut self, rows: usize) {
        if self.next_positions.is_empty() {
            self.next_positions = vec![0; rows];
        }
    }

    /// Declares the context length of each row: the tokens that it may have in the end. Rotary scalings that follow the length
    /// choose their frequencies by it when the row begins. Rows are fresh; without a declaration the tokens of the first call
    /// count.
    pub fn with_declared_lengths(self, lengths: &[usize]) -> Self {
        Self { context_lengths: lengths.to_vec(), ..self }
    }

    /// As [`with_declared_lengths`](Self::with_declared_lengths), for the rows that have not begun; the others keep theirs.
    pub fn declare_lengths_of_new_rows(&mut self, lengths: &[usize]) {
        self.context_lengths.resize(self.next_positions.len(), 0);
        let rows = self.context_lengths.iter_mut().zip(&self.next_positions).zip(lengths);
        rows.filter(|((_, next), _)| **next == 0).for_each(|((known, _), declared)| *known = *declared);
    }

    /// Returns the context length of each row that has begun or is declared.
    pub fn context_lengths(&self) -> &[usize] {
        &self.context_lengths
    }

    /// Fixes the context lengths of the rows that begin with a call of `lengths[i]` tokens.
    pub(super) fn fix_context_lengths(&mut self, lengths: &[usize]) {
        self.context_lengths.resize(self.next_positions.len(), 0);
        let rows = self.context_lengths.iter_mut().zip(&self.next_positions).zip(lengths);
        for ((context_length, _), length) in rows.filter(|((_, next), _)| **next == 0) {
            *context_length = (*context_length).max(*length);
        }
    }

    /// Adds `count` virtual tokens to the context length of each row.
    pub fn extend_context_lengths(&mut self, count: usize) {
        self.context_lengths.iter_mut().for_each(|length| *length += count);
    }

    /// Returns the position of the next token in each row.
    pub fn next_positions(&self) -> &[usize] {
        &self.next_positions
    }

    /// Advances the positions by `count` virtual tokens in each row.
    pub(super) fn skip_positions(&mut self, count: usize) {
        self.next_positions.iter_mut().for_each(|next| *next += count);
    }

    /// Returns the bytes of snapshots that [`bytes`](Self::bytes) leaves out: those of recurrent layers.
    pub fn snapshot_bytes(&self) -> usize {
        self.slots.values().map(|slot| slot.snapshot_bytes()).sum()
    }

    /// Returns the bytes of all slots and of the encoder output, without snapshots of recurrent layers. Pages that rows share
    /// count once. Marks of cached keys aren't counted.
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
    pub(super) fn advance(&mut self, cached_keys: PolicyKeys, lengths: &[usize]) {
        self.cached_keys = cached_keys;
        for (next, length) in self.next_positions.iter_mut().zip(lengths) {
            *next += length;
        }
    }
}

/// Faults, for tests of the laws on rows: a state in which one of the things that must change together did not.
pub mod testing {
    use super::State;

    /// Returns the state with other positions of the next tokens.
    pub fn with_positions(state: State, next_positions: &[usize]) -> State {
        State { next_positions: next_positions.to_vec(), ..state }
    }

    /// Returns the state with the marks of cached keys of another one.
    pub fn with_marks_of(state: State, other: &State) -> State {
        State { cached_keys: other.cached_keys.clone(), ..state }
    }
}

/// Operations on rows.
impl State {
    /// Returns the number of rows; 0 for the default state before its first call.
    pub fn num_rows(&self) -> usize {
        self.next_positions.len()
    }

    /// Returns a state of the given rows, in this order. A row may be named several times.
    ///
    /// Pages and snapshots are shared with this state. Nothing is copied but recurrent states and the encoder output, one
    /// row each.
    ///
    /// # Errors
    /// If no row is named, or one that doesn't exist.
    pub fn fork(&self, rows: &[usize]) -> Result<Self, StateError> {
        if rows.is_empty() {
            return Err(StateError::NoRows);
        }
        if let Some(row) = rows.iter().find(|row| **row >= self.num_rows()) {
            return Err(StateError::UnknownRow { row: *row, rows: self.num_rows() });
        }
        Ok(Self {
            slots: self.slots.iter().map(|(path, slot)| (path.clone(), slot.select(rows))).collect(),
            cached_keys: select_keys(&self.cached_keys, rows),
            memory: self.memory.as_ref().map(|memory| memory.select(rows)),
            next_positions: rows.iter().map(|row| self.next_positions[*row]).collect(),
            context_lengths: rows.iter().filter_map(|row| self.context_lengths.get(*row).copied()).collect(),
            arithmetic: self.arithmetic,
            cache_dtype: self.cache_dtype,
        })
    }

    /// Keeps the given rows, in this order. A row may be named several times.
    ///
    /// # Errors
    /// As for [`fork`](Self::fork); the state is then unchanged.
    pub fn select(&mut self, rows: &[usize]) -> Result<(), StateError> {
        *self = self.fork(rows)?;
        Ok(())
    }

    /// Appends the rows of another state of the same model. Rows before their first token may join any others.
    ///
    /// # Errors
    /// If the states are of different models: other slots, shapes, types or devices, or only one has an encoder output. The
    /// state may then be joined in part and must not be used.
    pub fn append(&mut self, other: Self) -> Result<(), StateError> {
        let (rows, more) = (self.num_rows(), other.num_rows());
        if rows == 0 || more == 0 {
            *self = if rows == 0 { other } else { std::mem::take(self) };
            return Ok(());
        }
        Incompatible::check("arithmetic", &self.arithmetic, &other.arithmetic)
            .map_err(|why| other_model("arithmetic", why))?;
        let is_new = [self.is_new(), other.is_new()];
        self.memory = Memory::append(self.memory.take(), other.memory).map_err(|why| other_model("memory", why))?;
        self.append_slots(other.slots, [rows, more], is_new)?;
        self.append_marks(other.cached_keys, [rows, more], is_new)?;
        self.next_positions.extend(other.next_positions);
        self.context_lengths.resize(rows, 0);
        self.context_lengths.extend(other.context_lengths);
        self.context_lengths.resize(rows + more, 0);
        Ok(())
    }

    /// Removes the last tokens of each row: row i keeps `lengths[i]` of them. Returns how many each row really has then.
    ///
    /// A layer that sums up all tokens, or that dropped what it can no longer see, goes back to a snapshot. The row then has
    /// fewer tokens than requested, and the caller reads those after them again.
    ///
    /// # Errors
    /// If a row has fewer tokens, or a layer has no snapshot that early; the state is then unchanged. A truncation to 0 always
    /// succeeds.
    pub fn truncate(&mut self, lengths: &[usize]) -> Result<Vec<usize>, StateError> {
        if lengths.len() != self.num_rows() {
            return Err(StateError::LengthCount { expected: self.num_rows(), found: lengths.len() });
        }
        let counts = lengths.iter().enumerate().map(|(row, length)| self.tokens_to_remove(row, *length));
        let counts = counts.collect::<Result<Vec<usize>, StateError>>()?;
        for (next, count) in self.next_positions.iter_mut().zip(&counts) {
            *next -= count;
        }
        // A row that begins anew takes the context length of what it reads next.
        for (length, next) in self.context_lengths.iter_mut().zip(&self.next_positions) {
            *length = if *next == 0 { 0 } else { *length };
        }
        if self.is_new() {
            self.slots.clear();
            self.cached_keys.clear();
        } else {
            self.slots.values_mut().for_each(|slot| slot.truncate(&counts));
            self.cached_keys.values_mut().for_each(|keys| keys.truncate(&counts));
        }
        Ok(self.next_positions.clone())
    }

    /// Whether no row has read a token.
    fn is_new(&self) -> bool {
        self.next_positions.iter().all(|next| *next == 0)
    }

    /// Number of tokens to remove from a row, so that at most `length` stay and every slot can go back to them.
    fn tokens_to_remove(&self, row: usize, length: usize) -> Result<usize, StateError> {
        let read = self.next_positions[row];
        let Some(mut count) = read.checked_sub(length) else {
            return Err(StateError::PastEnd { row, requested: length, length: read });
        };
        if length == 0 {
            return Ok(count);
        }
        loop {
            let before = count;
            let marks = keys_rewind_distance(&self.cached_keys, row, count);
            let mut distances = vec![("token marks", marks)];
            distances.extend(self.slots.iter().map(|(path, slot)| (path.as_str(), slot.rewind_distance(row, count))));
            for (path, distance) in distances {
                let Some(distance) = distance else {
                    return Err(StateError::NoSnapshot { row, requested: length, length: read, path: path.into() });
                };
                count = count.max(distance);
            }
            if count == before {
                return Ok(count);
            }
        }
    }

    /// Appends slots. A slot that only one side has is that of rows before their first token on the other.
    fn append_slots(
        &mut self,
        mut other: HashMap<String, Box<dyn Stateful>>,
        [rows, more]: [usize; 2],
        is_new: [bool; 2],
    ) -> Result<(), StateError> {
        let paths: BTreeSet<String> = self.slots.keys().chain(other.keys()).cloned().collect();
        for path in paths {
            match (self.slots.get_mut(&path), other.remove(&path)) {
                (Some(own), Some(other)) => own.append(other.into_any()).map_err(|why| other_model(&path, why))?,
                (Some(own), None) if is_new[1] => own.append_empty(more),
                (None, Some(mut other)) if is_new[0] => {
                    other.append_empty(rows);
                    let order: Vec<usize> = (more..more + rows).chain(0..more).collect();
                    self.slots.insert(path, other.select(&order));
                }
                (own, _) => return Err(one_sided(&path, own.is_some())),
            }
        }
        Ok(())
    }

    /// Appends the marks of cached keys, as [`append_slots`](Self::append_slots) does.
    fn append_marks(
        &mut self,
        mut other: PolicyKeys,
        [rows, more]: [usize; 2],
        is_new: [bool; 2],
    ) -> Result<(), StateError> {
        let policies: HashSet<CachePolicy> = self.cached_keys.keys().chain(other.keys()).copied().collect();
        for policy in policies {
            let new = |rows| KeyMarks::new(policy, rows);
            match (self.cached_keys.get_mut(&policy), other.remove(&policy)) {
                (Some(own), Some(other)) => own.append(other),
                (Some(_), None) if !is_new[1] => return Err(one_sided("token marks", true)),
                (Some(own), None) => own.append(new(more)),
                (None, Some(_)) if !is_new[0] => return Err(one_sided("token marks", false)),
                (None, Some(other)) => {
                    let mut all = new(rows);
                    let joined = all.append(other);
                    self.cached_keys.insert(policy, all);
                    joined
                }
                (None, None) => Ok(()),
            }
            .map_err(|why| other_model("token marks", why))?;
        }
        Ok(())
    }
}

/// Error of a slot that differs.
fn other_model(path: &str, Incompatible { expected, found }: Incompatible) -> StateError {
    StateError::OtherModel { path: path.into(), expected, found }
}

/// Error of a slot that only one of two states has.
fn one_sided(path: &str, in_first: bool) -> StateError {
    let sides = if in_first { ["a state", "none"] } else { ["none", "a state"] };
    other_model(path, Incompatible { expected: sides[0].into(), found: sides[1].into() })
}
