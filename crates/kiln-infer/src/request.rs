//! What is to be written, and what comes of it.

use crate::{error::GenerateError, sample::Sampling};
use kiln_models::{Model, ModelConfig, Stack, Visibility};
use kiln_spec::ValidationError;

/// What is to be written.
#[derive(Clone, Debug, PartialEq)]
pub struct GenerateRequest {
    /// Token ids of each prompt.
    pub prompts: Vec<Vec<u32>>,
    /// How a token is chosen.
    pub sampling: Sampling,
    /// At most so many new tokens a prompt.
    pub max_new_tokens: usize,
    /// Tokens that end a text; they are not part of what is written.
    pub stop_token_ids: Vec<u32>,
    /// At most so many tokens of the prompts go through the model at once; absent: all. Prompts that are seen whole
    /// (visibility `prefix`) go at once in any case.
    pub prefill_chunk_size: Option<usize>,
    /// The token that the decoder of an encoder–decoder begins with, its encoder having read the prompt.
    pub decoder_start_token_id: u32,
}

impl GenerateRequest {
    /// Whether this model can meet it.
    ///
    /// # Errors
    /// The first thing that it can't.
    pub fn check(&self, model: &Model) -> Result<(), GenerateError> {
        self.sampling.check("")?;
        if self.prefill_chunk_size == Some(0) {
            return Err(ValidationError::new("chunk", "a prompt in chunks of 0 tokens")
                .with_suggestion("1 or more")
                .into());
        }
        let config = model.config();
        check_can_generate(config)?;
        let vocab = config.vocab;
        if config.encoder_model_config().is_some() && self.decoder_start_token_id as usize >= vocab {
            return Err(ValidationError::new(
                "start",
                format!("the token {}; the model has {vocab}", self.decoder_start_token_id),
            )
            .into());
        }
        check_texts(&self.prompts, model)
    }
}

/// Whether a model writes at all.
///
/// # Errors
/// Its head or its stack, or that its tokens see what comes after them.
pub fn check_can_generate(config: &ModelConfig) -> Result<(), GenerateError> {
    check_language_head(config)?;
    match config {
        _ if config.stack == Stack::Encoder => Err(GenerateError::EncoderOnly),
        _ if config.visibility == Visibility::Bidirectional => Err(GenerateError::Bidirectional),
        _ => Ok(()),
    }
}

/// Whether a model has logits over tokens.
pub(crate) fn check_language_head(config: &ModelConfig) -> Result<(), GenerateError> {
    let head = || GenerateError::NoLanguageHead { head: config.head.name() };
    config.head.pooling().is_none().then_some(()).ok_or_else(head)
}

/// Whether the model can read these texts.
pub(crate) fn check_texts(texts: &[Vec<u32>], model: &Model) -> Result<(), GenerateError> {
    let config = model.config();
    let reader = config.encoder_model_config();
    let position = reader.as_ref().map_or(&config.position, |encoder| &encoder.position);
    let (vocab, limit) = (config.vocab, position.max_positions().unwrap_or(i32::MAX as usize));
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

/// Rows as wide as the longest, and how long each is.
pub(crate) fn pad_rows(rows: &[&[u32]]) -> (Vec<i32>, Vec<usize>) {
    let lengths: Vec<usize> = rows.iter().map(|row| row.len()).collect();
    let width = lengths.iter().copied().max().unwrap_or_default();
    let padded = |row: &&[u32]| (0..width).map(|i| row.get(i).map_or(0, |id| *id as i32)).collect::<Vec<_>>();
    (rows.iter().flat_map(padded).collect(), lengths)
}

/// A token that was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GeneratedToken {
    /// Whose continuation it is.
    pub row: usize,
    /// Its id.
    pub id: u32,
}

/// Why a text ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FinishReason {
    /// A token that ends a text came.
    Eos,
    /// There are as many tokens as were asked for.
    MaxTokens,
    /// The model has no more positions.
    ContextLength,
}

impl FinishReason {
    /// The word for it: `eos`, `tokens`, `length`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Eos => "eos",
            Self::MaxTokens => "tokens",
            Self::ContextLength => "length",
        }
    }
}

/// What was written after one prompt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GenerateOutput {
    /// The new tokens.
    pub ids: Vec<u32>,
    /// Why there are no more.
    pub finish_reason: FinishReason,
}
