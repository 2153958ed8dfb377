//! Several prompts at once, token by token, from cached state.
//!
//! The prompts go through the model first, in one chunk or in several; then each step feeds every row's last token.
//! Rows may be of unequal length; a row that has ended feeds nothing more. B rows, T tokens, M hidden, V vocabulary.

use crate::{
    error::GenerateError,
    prefix_cache::PrefixCache,
    request::{FinishReason, GenerateOutput, GenerateRequest, GeneratedToken, pad_rows},
};
use burn::{
    module::Module,
    tensor::{Int, Tensor, TensorData},
};
use kiln_models::{Model, Visibility};
use kiln_nn::State;
use kiln_spec::Direction;

/// Writing under way: [`next`](Self::next) moves every row on by a token.
pub struct Generation {
    model: Model,
    request: GenerateRequest,
    state: State,
    /// What a single row has read.
    cached_tokens: Vec<u32>,
    rows: Vec<Row>,
    step: u64,
}

#[derive(Default)]
struct Row {
    /// Tokens of prompt and continuation so far.
    length: usize,
    /// The last token, which the model hasn't seen yet.
    last_token: u32,
    finish_reason: Option<FinishReason>,
}

/// Writes all of it.
///
/// # Errors
/// If the request can't be met, the weights are broken or the device fails.
pub async fn generate(model: &Model, request: GenerateRequest) -> Result<Vec<GenerateOutput>, GenerateError> {
    let mut generation = Generation::new(model, request)?;
    let mut ids = vec![Vec::new(); generation.rows.len()];
    while let Some(tokens) = generation.next().await? {
        tokens.into_iter().for_each(|token| ids[token.row].push(token.id));
    }
    let stops = generation.rows.iter().map(|row| row.finish_reason.unwrap_or(FinishReason::MaxTokens));
    Ok(ids.into_iter().zip(stops).map(|(ids, stopped_by)| GenerateOutput { ids, finish_reason: stopped_by }).collect())
}

impl Generation {
    /// Checks the request; computes nothing yet.
    ///
    /// # Errors
    /// If the request can't be met.
    pub fn new(model: &Model, request: GenerateRequest) -> Result<Self, GenerateError> {
        Self::with_cache(model, request, None)
    }

    /// The same for a single prompt of which the same model has read the beginning; if it begins otherwise, the model
    /// reads it anew.
    ///
    /// # Errors
    /// If the request can't be met.
    pub fn with_cache(
        model: &Model,
        request: GenerateRequest,
        reading: Option<PrefixCache>,
    ) -> Result<Self, GenerateError> {
        request.check(model)?;
        let fits = |reading: &PrefixCache| matches!(&request.prompts[..], [prompt] if reading.extends(prompt));
        let reading = reading.filter(|reading| PrefixCache::is_supported_by(model) && fits(reading));
        let stopped = (request.max_new_tokens == 0).then_some(FinishReason::MaxTokens);
        // The prompts of an encoder–decoder take no place in its decoder.
        let own = |prompt: &Vec<u32>| if model.encoder().is_some() { 1 } else { prompt.len() };
        let row = |prompt: &Vec<u32>| Row { length: own(prompt), last_token: 0, finish_reason: stopped };
        let rows: Vec<Row> = request.prompts.iter().map(row).collect();
        // Without gradients: a graph would keep every step's tensors.
        let model = if model.device().is_autodiff() { model.valid() } else { model.clone() };
        let fresh = || PrefixCache { tokens: Vec::new(), state: State::new(rows.len()) };
        let PrefixCache { tokens: read, state } = reading.unwrap_or_else(fresh);
        Ok(Self { model, state, cached_tokens: read, rows, request, step: 0 })
    }

    /// The next token of each row that has one; `None` when all have ended.
    ///
    /// # Errors
    /// If the weights are broken or the device fails.
    pub async fn next(&mut self) -> Result<Option<Vec<GeneratedToken>>, GenerateError> {
        let active: Vec<usize> = (0..self.rows.len()).filter(|row| self.rows[*row].finish_reason.is_none()).collect();
        if active.is_empty() {
            return Ok(None);
        }
        let hidden = if self.step == 0 { self.prefill() } else { self.decode(&active) };
        let logits = self.model.logits(hidden).into_data_async().await?.convert::<f32>();
        let logits = logits.as_slice::<f32>().unwrap_or_default();
        let vocab = logits.len() / active.len();
        let mut tokens = Vec::new();
        for (row, logits) in active.into_iter().zip(logits.chunks_exact(vocab.max(1))) {
            let id = self.request.sampling.sample(logits, self.step, row as u64)?;
            tokens.extend(self.accept_token(row, id));
        }
        self.step += 1;
        Ok((!tokens.is_empty() || self.is_running()).then_some(tokens))
    }

    /// Why a row has ended; `None` if it hasn't, or isn't there.
    pub fn finish_reason(&self, row: usize) -> Option<FinishReason> {
        self.rows.get(row)?.finish_reason
    }

    /// What a single prompt and its continuation have left, to go on from; none of a model that reads with an encoder
    /// or sees prompts whole.
    pub fn into_prefix_cache(self) -> Option<PrefixCache> {
        let fits = self.rows.len() == 1 && PrefixCache::is_supported_by(&self.model) && !self.cached_tokens.is_empty();
        fits.then_some(PrefixCache { tokens: self.cached_tokens, state: self.state })
    }

    /// Bytes that are kept of the tokens so far.
    pub fn state_bytes(&self) -> usize {
        self.state.bytes()
    }

    fn is_running(&self) -> bool {
        self.rows.iter().any(|row| row.finish_reason.is_none())
    }

    fn accept_token(&mut self, row: usize, id: u32) -> Option<GeneratedToken> {
        let limit = self.model.config().position.max_positions().unwrap_or(usize::MAX);
        let state = &mut self.rows[row];
        if self.request.stop_token_ids.contains(&id) {
            state.finish_reason = Some(FinishReason::Eos);
            return None;
        }
        (state.last_token, state.length) = (id, state.length + 1);
        state.finish_reason = match () {
            () if self.step + 1 >= self.request.max_new_tokens as u64 => Some(FinishReason::MaxTokens),
            () if state.length > limit => Some(FinishReason::ContextLength),
            () => None,
        };
        Some(GeneratedToken { row, id })
    }

    /// Every prompt through the model: hidden states of their last tokens, `[B, M]`. Those of an encoder–decoder go
    /// through its encoder, and the first token of each row through its decoder.
    fn prefill(&mut self) -> Tensor<2> {
        let mut prompts = std::mem::take(&mut self.request.prompts);
        if self.model.encoder().is_some() {
            let (tokens, lengths) = pad_rows(&prompts.iter().map(Vec::as_slice).collect::<Vec<_>>());
            self.state = self.model.init_state(&tokens, &lengths);
            prompts = vec![vec![self.request.decoder_start_token_id]; prompts.len()];
        }
        let longest = prompts.iter().map(Vec::len).max().unwrap_or_default();
        // A token of a prefix sees what comes after it, so that it can't go before.
        let (direction, chunk) = match self.model.config().effective_visibility() {
            Visibility::Prefix => (Direction::Prefix(longest), longest),
            _ => (Direction::Causal, self.request.prefill_chunk_size.unwrap_or(longest)),
        };
        let mut last = vec![None; prompts.len()];
        for begin in (self.cached_tokens.len()..longest).step_by(chunk.max(1)) {
            let end = longest.min(begin + chunk);
            let parts: Vec<&[u32]> = prompts.iter().map(|p| &p[begin.min(p.len())..end.min(p.len())]).collect();
            let hidden = self.forward_chunk(&parts, direction);
            for (row, prompt) in prompts.iter().enumerate().filter(|(_, p)| p.len() > begin && p.len() <= end) {
                let token = hidden.clone().narrow(0, row, 1).narrow(1, prompt.len() - 1 - begin, 1);
                last[row] = Some(token.squeeze_dim::<2>(1));
            }
        }
        Tensor::cat(last.into_iter().flatten().collect(), 0)
    }

    /// The last token of each active row: its hidden states, `[active, M]`.
    fn decode(&mut self, active: &[usize]) -> Tensor<2> {
        let tokens: Vec<Option<u32>> =
            self.rows.iter().map(|row| row.finish_reason.is_none().then_some(row.last_token)).collect();
        let parts: Vec<&[u32]> = tokens.iter().map(Option::as_slice).collect();
        let hidden = self.forward_chunk(&parts, Direction::Causal).squeeze_dim::<2>(1);
        if active.len() == self.rows.len() {
            return hidden;
        }
        let indices: Vec<i32> = active.iter().map(|row| *row as i32).collect();
        let indices = Tensor::<1, Int>::from_data(TensorData::new(indices, [active.len()]), &hidden.device());
        hidden.select(0, indices)
    }

    /// Moves every row on by its part: hidden states `[B, T, M]`.
    fn forward_chunk(&mut self, parts: &[&[u32]], direction: Direction) -> Tensor<3> {
        if let [part] = parts {
            self.cached_tokens.extend_from_slice(part);
        }
        let (tokens, lengths) = pad_rows(parts);
        let state = std::mem::take(&mut self.state);
        let (hidden, state) = self.model.step(&tokens, &lengths, direction, state);
        self.state = state;
        hidden
    }
}
