//! Prefix cache: texts that a model has read with the state after them, so that other texts continue from a common beginning.

use kiln_models::{Model, Visibility};
use kiln_nn::{State, StateError};

/// Token rows that a model has processed, with the state after them (KV cache, recurrent states).
///
/// A chat keeps it between turns: each turn only processes the tokens after the common beginning. Rows share the pages of
/// their KV caches, so that a [`fork`](Self::fork) of a long prompt costs next to nothing.
///
/// ```
/// use burn::tensor::Device;
/// use kiln_infer::{GenerateRequest, Generation, block_on};
/// use kiln_models::{Model, ModelConfig};
///
/// let mut config = ModelConfig { vocab: 20, hidden: 32, ..ModelConfig::default() };
/// config.blocks[0].repeat = 1;
/// let model = Model::init(&config, 0, &Device::flex());
/// let request = |prompts: &[&[u32]]| GenerateRequest {
///     prompts: prompts.iter().map(|prompt| prompt.to_vec()).collect(),
///     max_new_tokens: 3,
///     ..GenerateRequest::default()
/// };
///
/// let mut generation = Generation::new(&model, request(&[&[1, 2, 3, 4, 5]]))?;
/// while block_on(generation.next())?.is_some() {}
/// let mut cache = generation.into_prefix_cache().expect("a causal decoder");
///
/// // Back to the prompt's first four tokens, and two texts that continue them.
/// assert_eq!(cache.truncate(&[4])?, [4]);
/// let both = cache.fork(&[0, 0])?;
/// let mut generation = Generation::with_cache(&model, request(&[&[1, 2, 3, 4, 6], &[1, 2, 3, 4, 7, 8]]), Some(both))?;
/// assert_eq!(generation.num_cached_tokens(), [4, 4]);
/// while block_on(generation.next())?.is_some() {}
/// # Ok::<(), kiln_infer::GenerateError>(())
/// ```
pub struct PrefixCache {
    pub(crate) rows: Vec<Vec<u32>>,
    pub(crate) state: State,
}

impl PrefixCache {
    /// Cache of no tokens, with the initial state of its rows.
    pub(crate) fn empty(state: State) -> Self {
        Self { rows: vec![Vec::new(); state.num_rows()], state }
    }

    /// Returns the tokens that were processed in each row.
    pub fn rows(&self) -> &[Vec<u32>] {
        &self.rows
    }

    /// Returns the tokens that were processed in the first row.
    pub fn tokens(&self) -> &[u32] {
        self.rows.first().map_or(&[], Vec::as_slice)
    }

    /// Returns the state after the tokens.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Returns whether `text` begins with the cached tokens of the first row and has at least one more.
    pub fn extends(&self, text: &[u32]) -> bool {
        text.len() > self.tokens().len() && text.starts_with(self.tokens())
    }

    /// Returns a cache of the given rows, in this order, that shares their pages. A row may be named several times.
    ///
    /// # Errors
    /// If no row is named, or one that doesn't exist.
    pub fn fork(&self, rows: &[usize]) -> Result<Self, StateError> {
        let state = self.state.fork(rows)?;
        Ok(Self { rows: rows.iter().map(|row| self.rows[*row].clone()).collect(), state })
    }

    /// Keeps the given rows, in this order. A row may be named several times.
    ///
    /// # Errors
    /// As [`fork`](Self::fork).
    pub fn select(&mut self, rows: &[usize]) -> Result<(), StateError> {
        *self = self.fork(rows)?;
        Ok(())
    }

    /// Appends the rows of another cache of the same model.
    ///
    /// # Errors
    /// If the caches are of different models; see [`State::append`].
    pub fn append(&mut self, other: Self) -> Result<(), StateError> {
        self.state.append(other.state)?;
        self.rows.extend(other.rows);
        Ok(())
    }

    /// Removes the last tokens of each row: row i keeps `lengths[i]`. Returns how many each row really has then.
    ///
    /// Models with windows or recurrent layers go back to a snapshot, which may be some tokens earlier.
    ///
    /// # Errors
    /// If a row has fewer tokens, or there is no snapshot that early; see [`State::truncate`].
    pub fn truncate(&mut self, lengths: &[usize]) -> Result<Vec<usize>, StateError> {
        // Virtual tokens of adapters come before a row's own; without own tokens a row starts anew.
        let extra = |row: usize| self.state.next_positions()[row].saturating_sub(self.rows[row].len());
        if let Some(row) = lengths.iter().zip(&self.rows).position(|(length, tokens)| *length > tokens.len()) {
            return Err(StateError::PastEnd { row, requested: lengths[row], length: self.rows[row].len() });
        }
        let known = lengths.iter().take(self.rows.len()).enumerate();
        let mut positions: Vec<usize> =
            known.map(|(row, length)| if *length == 0 { 0 } else { length + extra(row) }).collect();
        positions.extend(lengths.iter().skip(self.rows.len()));
        let extras: Vec<usize> = (0..self.rows.len()).map(extra).collect();
        let reached = self.state.truncate(&positions)?;
        for ((tokens, reached), extra) in self.rows.iter_mut().zip(reached).zip(extras) {
            tokens.truncate(reached.saturating_sub(extra));
        }
        Ok(self.rows.iter().map(Vec::len).collect())
    }

    /// Truncates the cache to what each prompt begins with, so that at least one token of each prompt is left to process. A
    /// single row is forked for several prompts. `None` if nothing can be reused.
    pub(crate) fn for_prompts(mut self, prompts: &[Vec<u32>]) -> Option<Self> {
        if self.rows.len() == 1 && prompts.len() > 1 {
            self.select(&vec![0; prompts.len()]).ok()?;
        }
        if self.rows.len() != prompts.len() {
            return None;
        }
        let common = |(row, prompt): (&Vec<u32>, &Vec<u32>)| {
            let equal = row.iter().zip(prompt).take_while(|(a, b)| a == b).count();
            equal.min(prompt.len().saturating_sub(1))
        };
        let mut lengths: Vec<usize> = self.rows.iter().zip(prompts).map(common).collect();
        while lengths.iter().any(|length| *length > 0) {
            match self.truncate(&lengths) {
                Ok(_) => return Some(self),
                // A row without a snapshot starts anew; the others are reused.
                Err(StateError::NoSnapshot { row, .. }) if lengths[row] > 0 => lengths[row] = 0,
                Err(_) => return None,
            }
        }
        None
    }

    /// Whether the state of a model after a text is independent of what follows: not with an encoder, which reads whole
    /// prompts, nor with prefix visibility, where prompt tokens attend to later prompt tokens.
    pub(crate) fn is_supported_by(model: &Model) -> bool {
        model.encoder().is_none() && model.config().effective_visibility() == Visibility::Causal
    }
}

impl std::fmt::Debug for PrefixCache {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        let tokens: Vec<usize> = self.rows.iter().map(Vec::len).collect();
        write!(f, "PrefixCache {{ tokens: {tokens:?}, bytes: {} }}", self.state.bytes())
    }
}
