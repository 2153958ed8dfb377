//! Batched autoregressive generation from cached state.
//!
//! 1. Prefill: the prompts go through the model in one or more chunks, which fills the state (KV cache, recurrent states).
//! 2. Decoding: each step feeds the last token of every active row, changes the logits by the logits processors and samples
//!    the next token from them.
//!
//! Each row declares its length, the prompt and the new tokens at most: rotary scalings that follow the length fix their
//! frequencies by it. A row that outgrows it, because the number of new tokens has no limit or because it continues a cached
//! text, is read again from its tokens ([`Generation::reread_tokens`]).
//!
//! Rows may have different lengths; finished rows are no longer computed. Generating from the cache gives the same logits
//! as processing the whole text for each token, up to rounding. Shapes: B rows, T tokens, M hidden, V vocabulary.

mod reread;

use crate::{
    error::GenerateError,
    prefix_cache::PrefixCache,
    request::{FinishReason, GenerateOutput, GenerateRequest, GeneratedToken},
    row::Row,
    rows::pad_rows,
    token_probabilities::TokenProbabilities,
};
use burn::{module::Module, tensor::Tensor};
use kiln_models::{Model, Visibility};
use kiln_nn::State;
use kiln_spec::Direction;
use reread::outgrown_rows;

/// Running generation. Each call of [`next`](Self::next) yields one token for every active row.
pub struct Generation {
    model: Model,
    request: GenerateRequest,
    /// State of the rows that are computed, with the tokens processed so far.
    cache: PrefixCache,
    /// Rows of `cache`, by their numbers in the request.
    computed_rows: Vec<usize>,
    /// Rows that ended before the others, with their numbers. They share no work with the rows that go on.
    ended: Vec<(Vec<usize>, PrefixCache)>,
    rows: Vec<Row>,
    /// Number of tokens of each row that came from the cache.
    num_cached_tokens: Vec<usize>,
    /// Declared length of each row.
    declared_lengths: Vec<usize>,
    /// Number of tokens that were read again.
    reread_tokens: Option<usize>,
    /// Number of tokens generated for each active row.
    step: u64,
}

/// Generates the continuations of all prompts of a request.
///
/// # Errors
/// An invalid request ([`GenerateRequest::check`]), logits that are not finite, or an error of the device.
pub async fn generate(model: &Model, request: GenerateRequest) -> Result<Vec<GenerateOutput>, GenerateError> {
    let mut generation = Generation::new(model, request)?;
    let mut ids = vec![Vec::new(); generation.rows.len()];
    while let Some(tokens) = generation.next().await? {
        tokens.into_iter().for_each(|token| ids[token.row].push(token.id));
    }
    let finish_reasons = generation.rows.iter().map(|row| row.finish_reason.unwrap_or(FinishReason::MaxTokens));
    Ok(ids.into_iter().zip(finish_reasons).map(|(ids, finish_reason)| GenerateOutput { ids, finish_reason }).collect())
}

/// State of `rows` sequences before their first token, as a request asks for it.
fn new_state(request: &GenerateRequest, rows: usize) -> State {
    State::new(rows).with_arithmetic(request.arithmetic).with_cache_dtype(request.cache_dtype)
}

impl Generation {
    /// Checks a request and prepares its generation. Nothing is computed before the first [`next`](Self::next).
    ///
    /// # Errors
    /// An invalid request ([`GenerateRequest::check`]).
    pub fn new(model: &Model, request: GenerateRequest) -> Result<Self, GenerateError> {
        Self::with_cache(model, request, None)
    }

    /// Prepares the generation from a prefix cache of the same model, with one row for each prompt or one row for all.
    ///
    /// Each row is truncated to the tokens that its prompt begins with, and only the tokens after them are processed; see
    /// [`num_cached_tokens`](Self::num_cached_tokens). The cache is ignored if it has another number of rows, another type of
    /// cached values or another arithmetic, if the positions of the longer text are encoded differently, or if the model does
    /// not support it.
    ///
    /// # Errors
    /// An invalid request ([`GenerateRequest::check`]).
    pub fn with_cache(
        model: &Model,
        request: GenerateRequest,
        cache: Option<PrefixCache>,
    ) -> Result<Self, GenerateError> {
        request.check(model)?;
        let is_usable = |cache: &PrefixCache| {
            PrefixCache::is_supported_by(model)
                && cache.state.cache_dtype() == request.cache_dtype
                && cache.state.arithmetic() == request.arithmetic
        };
        let cache = cache.filter(is_usable).and_then(|cache| cache.for_prompts(&request.prompts));
        let has_encoder = model.encoder().is_some();
        let rows: Vec<Row> = (0..request.prompts.len()).map(|row| Row::new(&request, row, has_encoder)).collect();
        // The inner model has no gradients: a graph would keep the tensors of every step.
        let model = if model.device().is_autodiff() { model.valid() } else { model.clone() };
        let mut declared_lengths: Vec<usize> = rows.iter().map(|row| row.declared_length(&request)).collect();
        let outgrown =
            cache.as_ref().map(|cache| outgrown_rows(&model, &cache.state, &declared_lengths)).unwrap_or_default();
        let reread = cache.as_ref().map(|cache| cache.rows.iter().map(Vec::len).sum());
        let reread_tokens = reread.filter(|_| !outgrown.is_empty());
        outgrown.iter().for_each(|row| declared_lengths[*row] = declared_lengths[*row].next_power_of_two());
        let cache = cache.filter(|_| reread_tokens.is_none());
        let mut cache = cache.unwrap_or_else(|| PrefixCache::empty(new_state(&request, rows.len())));
        cache.state.declare_lengths_of_new_rows(&declared_lengths);
        Ok(Self {
            num_cached_tokens: cache.rows.iter().map(Vec::len).collect(),
            computed_rows: (0..rows.len()).collect(),
            ended: Vec::new(),
            model,
            cache,
            rows,
            declared_lengths,
            reread_tokens,
            request,
            step: 0,
        })
    }

    /// Generates the next token of each active row. Returns `None` when all rows have ended.
    ///
    /// A row that generates a stop token ends without a token, so that the list may be shorter than the number of active
    /// rows, or empty.
    ///
    /// # Errors
    /// [`GenerateError::NotFinite`], or an error of the device.
    pub async fn next(&mut self) -> Result<Option<Vec<GeneratedToken>>, GenerateError> {
        let active: Vec<usize> = (0..self.rows.len()).filter(|row| self.rows[*row].finish_reason.is_none()).collect();
        if active.is_empty() {
            return Ok(None);
        }
        let hidden = if self.step == 0 { self.prefill() } else { self.decode(&active)? };
        let logits = self.model.logits_in(hidden, self.request.arithmetic).into_data_async().await?.convert::<f32>();
        let logits = logits.as_slice::<f32>().unwrap_or_default();
        let vocab = logits.len() / active.len();
        let mut tokens = Vec::new();
        for (row, logits) in active.into_iter().zip(logits.chunks_exact(vocab.max(1))) {
            let id = self.rows[row].sample(&self.request, row, self.step, logits)?;
            if self.accept_token(row, id) {
                tokens.push(GeneratedToken { row, id, probabilities: self.probabilities(logits, id) });
            }
        }
        self.step += 1;
        Ok((!tokens.is_empty() || self.is_running()).then_some(tokens))
    }

    /// Returns why a row ended; `None` if it is active or does not exist.
    pub fn finish_reason(&self, row: usize) -> Option<FinishReason> {
        self.rows.get(row)?.finish_reason
    }

    /// Ends a row, such as after a stop text. Other rows are not affected.
    pub fn end_row(&mut self, row: usize, reason: FinishReason) {
        if let Some(row) = self.rows.get_mut(row) {
            row.finish_reason = Some(reason);
        }
    }

    /// Returns the prefix cache of all prompts and their continuations, without the last token of each row, which was not
    /// processed.
    ///
    /// `None` before the first token, and for models that do not support it: those with an encoder or with prefix visibility.
    pub fn into_prefix_cache(mut self) -> Option<PrefixCache> {
        if !PrefixCache::is_supported_by(&self.model) || self.step == 0 {
            return None;
        }
        for (rows, ended) in self.ended {
            self.cache.append(ended).ok()?;
            self.computed_rows.extend(rows);
        }
        let mut order: Vec<usize> = (0..self.rows.len()).collect();
        order.sort_by_key(|index| self.computed_rows[*index]);
        self.cache.select(&order).ok()?;
        Some(self.cache)
    }

    /// Returns the number of tokens of each prompt that came from the prefix cache.
    pub fn num_cached_tokens(&self) -> &[usize] {
        &self.num_cached_tokens
    }

    /// Returns how many tokens were read a second time, because the text outgrew the length that its positions were encoded
    /// for: those of the cache or of the rows. `None` if that did not happen.
    pub fn reread_tokens(&self) -> Option<usize> {
        self.reread_tokens
    }

    /// Returns the size of the state of all rows in bytes.
    pub fn state_bytes(&self) -> usize {
        let ended = self.ended.iter().map(|(_, cache)| cache.state.bytes());
        self.cache.state.bytes() + ended.sum::<usize>()
    }

    /// Whether a row is active.
    fn is_running(&self) -> bool {
        self.rows.iter().any(|row| row.finish_reason.is_none())
    }

    /// The probabilities of a token by the model's logits `[V]`, if the request asks for alternatives.
    fn probabilities(&self, logits: &[f32], id: u32) -> Option<TokenProbabilities> {
        let alternatives = self.request.alternatives;
        if alternatives == 0 { None } else { TokenProbabilities::new(logits, id, alternatives) }
    }

    /// Records a sampled token and decides whether its row ends. Returns false for a stop token, which is not part of the
    /// text.
    fn accept_token(&mut self, row: usize, id: u32) -> bool {
        let max_positions = self.model.max_positions().unwrap_or(usize::MAX);
        let is_stop_token = self.request.stop_token_ids.contains(&id);
        let state = &mut self.rows[row];
        if is_stop_token {
            state.finish_reason = Some(FinishReason::Eos);
            return false;
        }
        state.tokens.push(id);
        let length = state.tokens.len();
        state.finish_reason = if length - state.prompt_length >= self.request.max_new_tokens {
            Some(FinishReason::MaxTokens)
        } else if length > max_positions || self.request.max_length.is_some_and(|max_length| length >= max_length) {
            // The last token needs no position: the model does not process it.
            Some(FinishReason::ContextLength)
        } else {
            None
        };
        true
    }

    /// Processes the prompts of the computed rows and returns the hidden states of their last tokens, `[B, M]`.
    ///
    /// Prompts of an encoder-decoder model go through its encoder; the decoder then processes its start token.
    fn prefill(&mut self) -> Tensor<2> {
        if self.model.encoder().is_some() {
            let prompts = self.computed_rows.iter().map(|row| self.request.prompts[*row].as_slice());
            let (tokens, lengths) = pad_rows(&prompts.collect::<Vec<_>>());
            let state = self.model.init_state_in(&tokens, &lengths, self.request.arithmetic);
            let state = state.with_cache_dtype(self.request.cache_dtype);
            self.cache.state = state.with_declared_lengths(&self.declared_lengths_of_computed());
        }
        let prompts = self.computed_rows.iter().zip(&self.cache.rows);
        let prompts = prompts.map(|(row, cached)| self.rows[*row].prompt()[cached.len()..].to_vec());
        let prompts: Vec<Vec<u32>> = prompts.collect();
        let longest = prompts.iter().map(Vec::len).max().unwrap_or_default();
        // With prefix visibility, tokens attend to later ones: the prompt cannot be split.
        let (direction, chunk_size) = match self.model.config().effective_visibility() {
            Visibility::Prefix => (Direction::Prefix(longest), longest),
            _ => (Direction::Causal, self.request.prefill_chunk_size.unwrap_or(longest)),
        };
        let mut last_hidden = vec![None; prompts.len()];
        for start in (0..longest).step_by(chunk_size.max(1)) {
            let end = longest.min(start + chunk_size);
            let chunks: Vec<&[u32]> =
                prompts.iter().map(|prompt| &prompt[start.min(prompt.len())..end.min(prompt.len())]).collect();
            let hidden = self.forward_chunk(&chunks, direction);
            for (row, prompt) in prompts.iter().enumerate() {
                if prompt.len() > start && prompt.len() <= end {
                    let token = hidden.clone().narrow(0, row, 1).narrow(1, prompt.len() - 1 - start, 1);
                    last_hidden[row] = Some(token.squeeze_dim::<2>(1));
                }
            }
        }
        Tensor::cat(last_hidden.into_iter().flatten().collect(), 0)
    }

    /// Processes the last token of each active row and returns its hidden states, `[active, M]`. Rows that ended leave the
    /// batch.
    fn decode(&mut self, active: &[usize]) -> Result<Tensor<2>, GenerateError> {
        if active.len() < self.computed_rows.len() {
            self.remove_ended_rows()?;
        }
        let lengths: Vec<usize> = active.iter().map(|row| self.rows[*row].tokens.len()).collect();
        let outgrown = outgrown_rows(&self.model, &self.cache.state, &lengths);
        if !outgrown.is_empty() {
            return Ok(self.read_again(&outgrown));
        }
        let tokens: Vec<Option<u32>> = active.iter().map(|row| self.rows[*row].tokens.last().copied()).collect();
        let chunks: Vec<&[u32]> = tokens.iter().map(Option::as_slice).collect();
        Ok(self.forward_chunk(&chunks, Direction::Causal).squeeze_dim::<2>(1))
    }

    /// Moves the rows that have ended out of the state. Their pages are kept, for [`into_prefix_cache`](Self::into_prefix_cache).
    fn remove_ended_rows(&mut self) -> Result<(), GenerateError> {
        let (active, ended): (Vec<usize>, Vec<usize>) = (0..self.computed_rows.len())
            .partition(|index| self.rows[self.computed_rows[*index]].finish_reason.is_none());
        let numbers = |indices: &[usize]| indices.iter().map(|index| self.computed_rows[*index]).collect();
        let (active_rows, ended_rows) = (numbers(&active), numbers(&ended));
        if PrefixCache::is_supported_by(&self.model) {
            self.ended.push((ended_rows, self.cache.fork(&ended)?));
        }
        self.cache.select(&active)?;
        self.computed_rows = active_rows;
        Ok(())
    }

    /// Processes one chunk of each row, which may be empty, and updates the state. Returns hidden states `[B, T, M]`.
    fn forward_chunk(&mut self, chunks: &[&[u32]], direction: Direction) -> Tensor<3> {
        self.cache.rows.iter_mut().zip(chunks).for_each(|(row, chunk)| row.extend_from_slice(chunk));
        let (tokens, lengths) = pad_rows(chunks);
        let state = std::mem::take(&mut self.cache.state);
        let (hidden, state) = self.model.step(&tokens, &lengths, direction, state);
        self.cache.state = state;
        hidden
    }
}
