//! Batched autoregressive generation from cached state.
//!
//! 1. Prefill: the prompts go through the model in one or more chunks, which fills the state (KV cache, recurrent states).
//! 2. Decoding: each step feeds the last token of every active row, changes the logits by the logits processors and samples
//!    the next token from them.
//!
//! Rows may have different lengths; finished rows are no longer computed. Generating from the cache gives the same logits
//! as processing the whole text for each token, up to rounding. Shapes: B rows, T tokens, M hidden, V vocabulary.

use crate::{
    error::GenerateError,
    prefix_cache::PrefixCache,
    request::{FinishReason, GenerateOutput, GenerateRequest, GeneratedToken},
    row::Row,
    rows::{as_slices, int_tensor, pad_rows},
};
use burn::{module::Module, tensor::Tensor};
use kiln_models::{Model, Visibility};
use kiln_spec::Direction;

/// Running generation. Each call of [`next`](Self::next) yields one token for every active row.
pub struct Generation {
    model: Model,
    request: GenerateRequest,
    /// State of all rows, with the tokens processed so far if there is a single row.
    cache: PrefixCache,
    rows: Vec<Row>,
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

impl Generation {
    /// Checks a request and prepares its generation. Nothing is computed before the first [`next`](Self::next).
    ///
    /// # Errors
    /// An invalid request ([`GenerateRequest::check`]).
    pub fn new(model: &Model, request: GenerateRequest) -> Result<Self, GenerateError> {
        Self::with_cache(model, request, None)
    }

    /// Prepares the generation for a single prompt from a prefix cache of the same model.
    ///
    /// Only the tokens after the cached ones are processed. The cache is ignored if the prompt does not begin with its
    /// tokens, if there are several prompts, if it was computed in another arithmetic, or if the model does not support it.
    ///
    /// # Errors
    /// An invalid request ([`GenerateRequest::check`]).
    pub fn with_cache(
        model: &Model,
        request: GenerateRequest,
        cache: Option<PrefixCache>,
    ) -> Result<Self, GenerateError> {
        request.check(model)?;
        let cache = cache.filter(|cache| {
            PrefixCache::is_supported_by(model)
                && cache.state.arithmetic() == request.arithmetic
                && matches!(&request.prompts[..], [prompt] if cache.extends(prompt))
        });
        let has_encoder = model.encoder().is_some();
        let rows: Vec<Row> = (0..request.prompts.len()).map(|row| Row::new(&request, row, has_encoder)).collect();
        // The inner model has no gradients: a graph would keep the tensors of every step.
        let model = if model.device().is_autodiff() { model.valid() } else { model.clone() };
        let cache = cache.unwrap_or_else(|| PrefixCache::empty(rows.len(), request.arithmetic));
        Ok(Self { model, cache, rows, request, step: 0 })
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
        let hidden = if self.step == 0 { self.prefill() } else { self.decode(&active) };
        let logits = self.model.logits_in(hidden, self.request.arithmetic).into_data_async().await?.convert::<f32>();
        let logits = logits.as_slice::<f32>().unwrap_or_default();
        let vocab = logits.len() / active.len();
        let mut tokens = Vec::new();
        for (row, logits) in active.into_iter().zip(logits.chunks_exact(vocab.max(1))) {
            let id = self.rows[row].sample(&self.request, row, self.step, logits)?;
            tokens.extend(self.accept_token(row, id));
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

    /// Returns the prefix cache of a single prompt and its continuation, without the last token, which was not processed.
    ///
    /// `None` for several prompts, before the first token, and for models that do not support it: those with an encoder or
    /// with prefix visibility.
    pub fn into_prefix_cache(self) -> Option<PrefixCache> {
        let is_usable =
            self.rows.len() == 1 && PrefixCache::is_supported_by(&self.model) && !self.cache.tokens.is_empty();
        is_usable.then_some(self.cache)
    }

    /// Returns the size of the state of all rows in bytes.
    pub fn state_bytes(&self) -> usize {
        self.cache.state.bytes()
    }

    /// Whether a row is active.
    fn is_running(&self) -> bool {
        self.rows.iter().any(|row| row.finish_reason.is_none())
    }

    /// Records a sampled token and decides whether its row ends. `None` for a stop token.
    fn accept_token(&mut self, row: usize, id: u32) -> Option<GeneratedToken> {
        let max_positions = self.model.max_positions().unwrap_or(usize::MAX);
        let is_stop_token = self.request.stop_token_ids.contains(&id);
        let state = &mut self.rows[row];
        if is_stop_token {
            state.finish_reason = Some(FinishReason::Eos);
            return None;
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
        Some(GeneratedToken { row, id })
    }

    /// Processes all prompts and returns the hidden states of their last tokens, `[B, M]`.
    ///
    /// Prompts of an encoder-decoder model go through its encoder; the decoder then processes its start token.
    fn prefill(&mut self) -> Tensor<2> {
        if self.model.encoder().is_some() {
            let (tokens, lengths) = pad_rows(&as_slices(&self.request.prompts));
            self.cache.state = self.model.init_state_in(&tokens, &lengths, self.request.arithmetic);
        }
        let prompts: Vec<Vec<u32>> = self.rows.iter().map(|row| row.tokens.clone()).collect();
        let longest = prompts.iter().map(Vec::len).max().unwrap_or_default();
        // With prefix visibility, tokens attend to later ones: the prompt cannot be split.
        let (direction, chunk_size) = match self.model.config().effective_visibility() {
            Visibility::Prefix => (Direction::Prefix(longest), longest),
            _ => (Direction::Causal, self.request.prefill_chunk_size.unwrap_or(longest)),
        };
        let mut last_hidden = vec![None; prompts.len()];
        for start in (self.cache.tokens.len()..longest).step_by(chunk_size.max(1)) {
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

    /// Processes the last token of each active row and returns its hidden states, `[active, M]`.
    fn decode(&mut self, active: &[usize]) -> Tensor<2> {
        let tokens: Vec<Option<u32>> =
            self.rows.iter().map(|row| row.tokens.last().copied().filter(|_| row.finish_reason.is_none())).collect();
        let chunks: Vec<&[u32]> = tokens.iter().map(Option::as_slice).collect();
        let hidden = self.forward_chunk(&chunks, Direction::Causal).squeeze_dim::<2>(1);
        if active.len() == self.rows.len() {
            return hidden;
        }
        let indices: Vec<i32> = active.iter().map(|row| *row as i32).collect();
        let indices = int_tensor(indices, [active.len()], &hidden.device());
        hidden.select(0, indices)
    }

    /// Processes one chunk of each row, which may be empty, and updates the state. Returns hidden states `[B, T, M]`.
    fn forward_chunk(&mut self, chunks: &[&[u32]], direction: Direction) -> Tensor<3> {
        if let [chunk] = chunks {
            self.cache.tokens.extend_from_slice(chunk);
        }
        let (tokens, lengths) = pad_rows(chunks);
        let state = std::mem::take(&mut self.cache.state);
        let (hidden, state) = self.model.step(&tokens, &lengths, direction, state);
        self.cache.state = state;
        hidden
    }
}
