//! State of one sequence that is being generated.

use crate::{
    error::GenerateError,
    processors::{LogitsProcessors, TokenHistory},
    request::{FinishReason, GenerateRequest},
};

/// State of one sequence.
pub(crate) struct Row {
    /// Tokens so far: prompt and continuation; of an encoder-decoder model, start token and continuation. The model has
    /// not processed the last one yet.
    pub tokens: Vec<u32>,
    /// Number of tokens before the continuation.
    pub prompt_length: usize,
    /// Why the sequence ended; `None` while it is active.
    pub finish_reason: Option<FinishReason>,
}

impl Row {
    /// The sequence of a prompt before its first new token.
    pub fn new(request: &GenerateRequest, row: usize, has_encoder: bool) -> Self {
        let tokens = if has_encoder { vec![request.decoder_start_token_id] } else { request.prompts[row].clone() };
        let finish_reason = (request.max_new_tokens == 0).then_some(FinishReason::MaxTokens);
        Self { prompt_length: tokens.len(), tokens, finish_reason }
    }

    /// Returns the tokens before the continuation.
    pub fn prompt(&self) -> &[u32] {
        &self.tokens[..self.prompt_length]
    }

    /// Returns the continuation so far.
    pub fn generated(&self) -> &[u32] {
        &self.tokens[self.prompt_length..]
    }

    /// Returns the length that the row declares: its prompt and the new tokens at most. Without a limit of new tokens, the
    /// prompt alone.
    pub fn declared_length(&self, request: &GenerateRequest) -> usize {
        let limit = self.prompt_length.checked_add(request.max_new_tokens).or(request.max_length);
        limit.map_or(self.prompt_length, |limit| limit.min(request.max_length.unwrap_or(limit)))
    }

    /// Samples the next token from the model's logits `[V]`, after the logits processors.
    pub fn sample(
        &self,
        request: &GenerateRequest,
        row: usize,
        step: u64,
        logits: &[f32],
    ) -> Result<u32, GenerateError> {
        let GenerateRequest { processors, sampling, .. } = request;
        if *processors == LogitsProcessors::default() {
            return sampling.sample(logits, step, row as u64);
        }
        let mut processed = logits.to_vec();
        processors.process(&self.history(request, row), &mut processed);
        sampling.sample(&processed, step, row as u64).map_err(|error| {
            // Logits that were finite before the processors lead to this error only if no token is left.
            let was_finite = logits.iter().all(|logit| !logit.is_nan() && *logit < f32::INFINITY);
            if was_finite { GenerateError::NoTokenLeft { row: row as u64, step } } else { error }
        })
    }

    /// The sequence as logits processors see it.
    fn history<'a>(&'a self, request: &'a GenerateRequest, row: usize) -> TokenHistory<'a> {
        let max_length = self.prompt_length.saturating_add(request.max_new_tokens);
        TokenHistory {
            tokens: &self.tokens,
            prompt_length: self.prompt_length,
            prompt: &request.prompts[row],
            stop_token_ids: &request.stop_token_ids,
            max_length: max_length.min(request.max_length.unwrap_or(usize::MAX)),
        }
    }
}
