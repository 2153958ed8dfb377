//! Generation requests and results in token ids, and the checks of a request against a model.

use crate::{error::GenerateError, sample::Sampling};
use kiln_models::{Model, ModelConfig, Stack, Visibility};
use kiln_spec::ValidationError;

/// Request for the continuation of one or more prompts.
#[derive(Clone, Debug, PartialEq)]
pub struct GenerateRequest {
    /// Token ids of each prompt. Prompts may have different lengths; none may be empty.
    pub prompts: Vec<Vec<u32>>,
    /// Choice of each token.
    pub sampling: Sampling,
    /// Maximum number of new tokens for each prompt.
    pub max_new_tokens: usize,
    /// Tokens that end a sequence. They are not part of the output.
    pub stop_token_ids: Vec<u32>,
    /// Maximum number of prompt tokens that are processed at once, to limit memory; `None`: all. Prompts with prefix
    /// visibility are always processed at once.
    pub prefill_chunk_size: Option<usize>,
    /// First token of the decoder of an encoder-decoder model, whose prompts are read by the encoder. Ignored by other
    /// models.
    pub decoder_start_token_id: u32,
}

impl GenerateRequest {
    /// Checks the request against a model.
    ///
    /// # Errors
    /// The first problem: an invalid option, a model that cannot generate, or a prompt that is empty, too long or has
    /// unknown tokens.
    pub fn check(&self, model: &Model) -> Result<(), GenerateError> {
        self.sampling.check("")?;
        if self.prefill_chunk_size == Some(0) {
            let error = ValidationError::new("prefill_chunk_size", "expected at least 1 token, found 0");
            return Err(error.with_suggestion("use 1 or more").into());
        }
        let config = model.config();
        check_can_generate(config)?;
        let start = self.decoder_start_token_id;
        if config.encoder_model_config().is_some() && start as usize >= config.vocab {
            let reason = format!("expected a token id below {}, found {start}", config.vocab);
            return Err(ValidationError::new("decoder_start_token_id", reason).into());
        }
        check_texts(&self.prompts, model)
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
    let position = encoder_config.as_ref().map_or(&config.position, |encoder| &encoder.position);
    let limit = position.max_positions().unwrap_or(i32::MAX as usize);
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GeneratedToken {
    /// Index of the prompt that it continues.
    pub row: usize,
    /// Token id.
    pub id: u32,
}

/// Reason why a sequence ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FinishReason {
    /// A stop token was generated.
    Eos,
    /// The maximum number of new tokens was reached.
    MaxTokens,
    /// The model has no more positions.
    ContextLength,
}

impl FinishReason {
    /// Returns the name in JSON output: `eos` (a stop token), `tokens` (`max_new_tokens` reached), `length` (no positions
    /// left; in OpenAI's API, `length` means the limit of new tokens instead).
    pub fn name(self) -> &'static str {
        match self {
            Self::Eos => "eos",
            Self::MaxTokens => "tokens",
            Self::ContextLength => "length",
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
