//! Logits processors: changes of the logits before a token is chosen, by the tokens so far.
//!
//! They are applied in the order of Hugging Face's `GenerationMixin._get_logits_processor`, and give the same logits:
//!
//! 1. `sequence_bias`; 2. `encoder_repetition_penalty`; 3. `repetition_penalty` (CTRL, 1909.05858);
//! 4. `presence_penalty` and `frequency_penalty` (OpenAI's formula); 5. `no_repeat_ngram_size`;
//! 6. `encoder_no_repeat_ngram_size`; 7. `bad_words_ids`; 8. `min_length`, `min_new_tokens`; 9. `forced_bos_token_id`;
//! 10. `forced_eos_token_ids`; 11. `remove_invalid_values`; 12. `exponential_decay_length_penalty`;
//! 13. `suppress_tokens`; 14. `begin_suppress_tokens`.
//!
//! Then follow the filters of [`Sampling`](crate::Sampling). All of it is computed in `f32`, as in the reference. V vocabulary.

mod ngrams;
mod penalties;

use kiln_spec::ValidationError;

/// Logits processors. The default changes nothing.
#[derive(Clone, Debug, PartialEq)]
pub struct LogitsProcessors {
    /// Amounts that are added to the logit of a sequence's last token when its other tokens were the last ones.
    pub sequence_bias: Vec<(Vec<u32>, f32)>,
    /// Factor by which the tokens of the prompt become more probable. Positive; 1: none.
    pub encoder_repetition_penalty: f64,
    /// Factor by which the tokens of prompt and continuation become less probable. Positive; 1: none.
    pub repetition_penalty: f64,
    /// Amount that is subtracted from the logits of all tokens of the continuation. 0: none.
    pub presence_penalty: f64,
    /// Amount that is subtracted from the logit of a token for each time that it occurs in the continuation. 0: none.
    pub frequency_penalty: f64,
    /// Number of last tokens that `repetition_penalty`, `presence_penalty` and `frequency_penalty` consider. `None`: all.
    pub penalty_window: Option<usize>,
    /// Size of the n-grams that may occur only once in prompt and continuation. 0: none.
    pub no_repeat_ngram_size: usize,
    /// Size of the n-grams of the prompt that the continuation may not contain. 0: none.
    pub encoder_no_repeat_ngram_size: usize,
    /// Sequences of tokens that are never generated. A sequence of one end token has no effect.
    pub bad_words_ids: Vec<Vec<u32>>,
    /// Number of tokens of prompt and continuation before which no end token is generated.
    pub min_length: usize,
    /// Number of new tokens before which no end token is generated.
    pub min_new_tokens: usize,
    /// Token that is generated second, after a start token or a prompt of one token.
    pub forced_bos_token_id: Option<u32>,
    /// Tokens of which one is generated last if the maximum number of tokens is reached.
    pub forced_eos_token_ids: Vec<u32>,
    /// Whether NaN becomes 0, and ±∞ the largest finite values.
    pub remove_invalid_values: bool,
    /// After this number of new tokens, the magnitude |l| of an end token's logit l is added to it, times factorⁿ − 1 at
    /// the n-th further token.
    pub exponential_decay_length_penalty: Option<(usize, f64)>,
    /// Tokens that are never generated.
    pub suppress_tokens: Vec<u32>,
    /// Tokens that are not generated first.
    pub begin_suppress_tokens: Vec<u32>,
}

impl Default for LogitsProcessors {
    fn default() -> Self {
        Self {
            sequence_bias: Vec::new(),
            encoder_repetition_penalty: 1.0,
            repetition_penalty: 1.0,
            presence_penalty: 0.0,
            frequency_penalty: 0.0,
            penalty_window: None,
            no_repeat_ngram_size: 0,
            encoder_no_repeat_ngram_size: 0,
            bad_words_ids: Vec::new(),
            min_length: 0,
            min_new_tokens: 0,
            forced_bos_token_id: None,
            forced_eos_token_ids: Vec::new(),
            remove_invalid_values: false,
            exponential_decay_length_penalty: None,
            suppress_tokens: Vec::new(),
            begin_suppress_tokens: Vec::new(),
        }
    }
}

/// Tokens of a sequence that is being generated, as logits processors see it.
#[derive(Clone, Copy, Debug)]
pub struct TokenHistory<'a> {
    /// Prompt and continuation; of an encoder-decoder model, start token and continuation.
    pub tokens: &'a [u32],
    /// Number of tokens of `tokens` before the continuation.
    pub prompt_length: usize,
    /// The prompt; of an encoder-decoder model, what the encoder has read.
    pub prompt: &'a [u32],
    /// Tokens that end the sequence.
    pub stop_token_ids: &'a [u32],
    /// Number of tokens at which the sequence ends.
    pub max_length: usize,
}

impl LogitsProcessors {
    /// Checks the ranges: repetition penalties positive, other numbers finite, sequences not empty.
    ///
    /// # Errors
    /// The first value out of range, with its key.
    pub fn check(&self) -> Result<(), ValidationError> {
        let factors = [
            ("repetition_penalty", self.repetition_penalty),
            ("encoder_repetition_penalty", self.encoder_repetition_penalty),
        ];
        if let Some((key, factor)) = factors.into_iter().find(|(_, factor)| !(*factor > 0.0 && factor.is_finite())) {
            return Err(ValidationError::new(
                key,
                format!("expected a number above 0 (1: no penalty), found {factor}"),
            ));
        }
        let decay = self.exponential_decay_length_penalty.map_or(1.0, |(_, factor)| factor);
        let amounts = [
            ("presence_penalty", self.presence_penalty),
            ("frequency_penalty", self.frequency_penalty),
            ("exponential_decay_length_penalty", decay),
        ];
        if let Some((key, amount)) = amounts.into_iter().find(|(_, amount)| !amount.is_finite()) {
            return Err(ValidationError::new(key, format!("expected a finite number, found {amount}")));
        }
        let empty = |key| Err(ValidationError::new(key, "expected at least one token id in each sequence, found none"));
        if self.bad_words_ids.iter().any(Vec::is_empty) {
            return empty("bad_words_ids");
        }
        match self.sequence_bias.iter().find(|(ids, bias)| ids.is_empty() || bias.is_nan()) {
            Some((ids, _)) if ids.is_empty() => empty("sequence_bias"),
            Some(_) => Err(ValidationError::new("sequence_bias", "expected a number, found NaN")),
            None => Ok(()),
        }
    }

    /// Changes the logits `[V]` of the next token. Ids beyond the vocabulary have no effect.
    pub fn process(&self, history: &TokenHistory, logits: &mut [f32]) {
        let tokens = history.tokens;
        ngrams::add_sequence_bias(logits, &self.sequence_bias, tokens);
        penalties::scale(logits, history.prompt, 1.0 / self.encoder_repetition_penalty);
        let window_start = self.penalty_window.map_or(0, |window| tokens.len().saturating_sub(window));
        penalties::scale(logits, &tokens[window_start..], self.repetition_penalty);
        let generated = &tokens[window_start.max(history.prompt_length).min(tokens.len())..];
        penalties::subtract(logits, generated, self.presence_penalty as f32, self.frequency_penalty as f32);
        ngrams::exclude_repeated(logits, self.no_repeat_ngram_size, tokens, tokens);
        ngrams::exclude_repeated(logits, self.encoder_no_repeat_ngram_size, history.prompt, tokens);
        ngrams::exclude_sequences(logits, &self.bad_words_ids, history);
        self.process_ends(history, logits);
        exclude(logits, &self.suppress_tokens);
        // A forced first token makes the one after it the first to choose.
        let is_forced = history.prompt_length <= 1 && self.forced_bos_token_id.is_some();
        if tokens.len() == history.prompt_length + usize::from(is_forced) {
            exclude(logits, &self.begin_suppress_tokens);
        }
    }

    /// Processors of the tokens that begin and end a text.
    fn process_ends(&self, history: &TokenHistory, logits: &mut [f32]) {
        let length = history.tokens.len();
        let num_new = length.saturating_sub(history.prompt_length);
        if length < self.min_length || num_new < self.min_new_tokens {
            exclude(logits, history.stop_token_ids);
        }
        if length == 1 && self.forced_bos_token_id.is_some() {
            force(logits, self.forced_bos_token_id.as_slice());
        }
        if length + 1 == history.max_length && !self.forced_eos_token_ids.is_empty() {
            force(logits, &self.forced_eos_token_ids);
        }
        if self.remove_invalid_values {
            logits
                .iter_mut()
                .for_each(|logit| *logit = if logit.is_nan() { 0.0 } else { logit.clamp(f32::MIN, f32::MAX) });
        }
        if let Some((start, factor)) = self.exponential_decay_length_penalty.filter(|(start, _)| num_new > *start) {
            let growth = factor.powi(i32::try_from(num_new - start).unwrap_or(i32::MAX)) - 1.0;
            penalties::add_magnitude(logits, history.stop_token_ids, growth as f32);
        }
    }
}

/// Excludes tokens.
fn exclude(logits: &mut [f32], ids: &[u32]) {
    for id in ids {
        if let Some(logit) = logits.get_mut(*id as usize) {
            *logit = f32::NEG_INFINITY;
        }
    }
}

/// Excludes all tokens except some, which become equally probable.
fn force(logits: &mut [f32], ids: &[u32]) {
    logits.fill(f32::NEG_INFINITY);
    for id in ids {
        if let Some(logit) = logits.get_mut(*id as usize) {
            *logit = 0.0;
        }
    }
}

#[cfg(test)]
mod tests;
