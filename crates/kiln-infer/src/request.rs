//! Generation requests and results in token ids, and the checks of a request against a model.

use crate::{
    error::GenerateError, processors::LogitsProcessors, sample::Sampling, token_probabilities::TokenProbabilities,
};
use kiln_kernels::{attention::paged::CacheDtype, exact::Arithmetic};
use kiln_models::{Model, ModelConfig, Stack, Visibility};
use kiln_spec::ValidationError;

/// Request for the continuation of one or more prompts. The default has no prompts and no limit of new tokens.
#[derive(Clone, Debug, PartialEq)]
pub struct GenerateRequest {
    /// Token ids of each prompt. Prompts may have different lengths; none may be empty.
    pub prompts: Vec<Vec<u32>>,
    /// Changes of the logits before a token is chosen.
    pub processors: LogitsProcessors,
    /// Choice of each token.
    pub sampling: Sampling,
    /// Maximum number of new tokens for each prompt.
    pub max_new_tokens: usize,
    /// Maximum number of tokens of prompt and continuation; of an encoder-decoder model, of start token and continuation.
    /// `None`: no limit besides `max_new_tokens` and the positions of the model.
    pub max_length: Option<usize>,
    /// Number of most likely alternatives that are reported for each new token, with its own probability, in
    /// [`GeneratedToken::probabilities`]. 0: no probabilities are computed.
    pub alternatives: usize,
    /// Tokens that end a sequence. They are not part of the output.
    pub stop_token_ids: Vec<u32>,
    /// Maximum number of prompt tokens that are processed at once, to limit memory; `None`: all. Prompts with prefix
    /// visibility are always processed at once.
    pub prefill_chunk_size: Option<usize>,
    /// Type of cached keys and values. 16 bits halve the memory of the KV cache and change the logits by about 1e-3.
    pub cache_dtype: CacheDtype,
    /// First token of the decoder of an encoder-decoder model, whose prompts are read by the encoder. Ignored by other
    /// models.
    pub decoder_start_token_id: u32,
    /// Arithmetic of the model; see [`GenerateOptions`](crate::GenerateOptions).
    pub arithmetic: Arithmetic,
}

impl Default for GenerateRequest {
    fn default() -> Self {
        Self {
            prompts: Vec::new(),
            processors: LogitsProcessors::default(),
            sampling: Sampling::default(),
            max_new_tokens: usize::MAX,
            max_length: None,
            alternatives: 0,
            stop_token_ids: Vec::new(),
            prefill_chunk_size: None,
            cache_dtype: CacheDtype::default(),
            decoder_start_token_id: 0,
            arithmetic: Arithmetic::Fast,
        }
    }
}

impl GenerateRequest {
    /// Checks the request against a model.
    ///
    /// # Errors
    /// The first problem: an invalid option, a model that cannot generate, or a prompt that is empty, too long or has
    /// unknown tokens.
    pub fn check(&self, model: &Model) -> Result<(), GenerateError> {
        self.sampling.check("")?;
        self.processors.check()?;
        if self.prefill_chunk_size == Some(0) {
            let error = ValidationError::new("prefill_chunk_size", "expected at least 1 token, found 0");
            return Err(error.with_suggestion("use 1 or more").into());
        }
        model.check_arithmetic(self.arithmetic)?;
        let config = model.config();
        check_can_generate(config)?;
        self.check_token_ids(config)?;
        check_texts(&self.prompts, model)?;
        self.check_max_length(config)
    }

    /// Checks the tokens that the decoder has to read or to generate.
    fn check_token_ids(&self, config: &ModelConfig) -> Result<(), GenerateError> {
        let start = config.encoder_model_config().map(|_| self.decoder_start_token_id);
        let start = start.map(|id| ("decoder_start_token_id", id));
        let first = self.processors.forced_bos_token_id.map(|id| ("forced_bos_token_id", id));
        let last = self.processors.forced_eos_token_ids.iter().map(|id| ("forced_eos_token_id", *id));
        match start.into_iter().chain(first).chain(last).find(|(_, id)| *id as usize >= config.vocab) {
            None => Ok(()),
            Some((key, id)) => {
                let reason = format!("expected a token id below {}, found {id}", config.vocab);
                Err(ValidationError::new(key, reason).into())
            }
        }
    }

    /// Checks that `max_length` leaves room for a new token.
    fn check_max_length(&self, config: &ModelConfig) -> Result<(), GenerateError> {
        let Some(max_length) = self.max_length else { return Ok(()) };
        let has_encoder = config.encoder_model_config().is_some();
        let lengths = self.prompts.iter().map(|prompt| if has_encoder { 1 } else { prompt.len() });
        match lengths.enumerate().find(|(_, tokens)| *tokens >= max_length) {
            Some((row, tokens)) => Err(GenerateError::NoRoom { row, tokens, max_length }),
            None => Ok(()),
        }
    }
}

/// Checks that a model can generate text from left to right.
///
/// # Errors
/// [`GenerateError::NoLanguageHead`], [`GenerateError::EncoderOnly`] or [`GenerateError::Bidirectional`].
pub fn check_can_generate(config: &ModelConfig) -> Result<(), GenerateError> {
    check_language_head(config)?;
    match config {
        _ if config.stack == Stack::Encoder => Err(GenerateError::EncoderOnly),
        _ if config.visibility == Visibility::Bidirectional => Err(GenerateError::Bidirectional),
        _ => Ok(()),
    }
}

/// Checks that the head of a model has logits over tokens. Heads with pooling have one output per document.
pub(crate) fn check_language_head(config: &ModelConfig) -> Result<(), GenerateError> {
    if config.head.pooling().is_some() {
        return Err(GenerateError::NoLanguageHead { head: config.head.name() });
    }
    Ok(())
}

/// Checks that texts have tokens, that the model has these tokens, and that it has enough positions. For an
/// encoder-decoder model, the positions of the encoder count.
pub(crate) fn check_texts(texts: &[Vec<u32>], model: &Model) -> Result<(), GenerateError> {
    let config = model.config();
    let encoder_config = config.encoder_model_config();
    let positions = match &encoder_config {
        Some(encoder) => encoder.max_positions(),
        None => model.max_positions(),
    };
    let limit = positions.unwrap_or(i32::MAX as usize);
    let vocab = config.vocab;
    for (row, text) in texts.iter().enumerate() {
        if text.is_empty() {
            return Err(GenerateError::EmptyPrompt { row });
        }
        if text.len() > limit {
            return Err(GenerateError::PromptTooLong { row, tokens: text.len(), limit });
        }
        if let Some(id) = text.iter().copied().find(|id| *id as usize >= vocab) {
            return Err(GenerateError::UnknownToken { row, id, vocab });
        }
    }
    Ok(())
}

/// New token of one row.
#[derive(Clone, Debug, PartialEq)]
pub struct GeneratedToken {
    /// Index of the prompt that it continues.
    pub row: usize,
    /// Token id.
    pub id: u32,
    /// Its probability and the most likely alternatives. `None` if the request asks for no alternatives, or if the model's
    /// logits are not finite and [`LogitsProcessors::remove_invalid_values`] replaced them.
    pub probabilities: Option<TokenProbabilities>,
}

/// Reason why a sequence ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FinishReason {
    /// A stop token was generated.
    Eos,
    /// The maximum number of new tokens was reached.
    MaxTokens,
    /// The maximum length of prompt and continuation was reached, or the model has no more positions.
    ContextLength,
    /// A stop text was generated.
    StopText,
}

impl FinishReason {
    /// Returns the name in JSON output: `eos` (a stop token), `tokens` (`max_new_tokens` reached), `length` (`max_length`
    /// reached or no positions left; in OpenAI's API, `length` means the limit of new tokens instead), `stop` (a stop text).
    pub fn name(self) -> &'static str {
        match self {
            Self::Eos => "eos",
            Self::MaxTokens => "tokens",
            Self::ContextLength => "length",
            Self::StopText => "stop",
        }
    }
}

/// Continuation of one prompt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GenerateOutput {
    /// New tokens, without prompt and stop token.
    pub ids: Vec<u32>,
    /// Why the sequence ended.
    pub finish_reason: FinishReason,
}
