//! From text to text.

use crate::{
    error::GenerateError,
    generate::{Generation, generate},
    prefix_cache::PrefixCache,
    request::{FinishReason, GenerateRequest},
    sample::Sampling,
};
use kiln_data::{StreamDecoder, TokenRole, Tokenizer, tokenizer::EncodeOptions};
use kiln_models::Model;
use kiln_pretrained::GenerationMode;

/// A model with its tokenizer, ready to write and to fill blanks.
#[derive(Clone, Copy, Debug)]
pub struct Generator<'a> {
    pub(crate) model: &'a Model,
    pub(crate) tokenizer: &'a Tokenizer,
    pub(crate) mode: GenerationMode,
}

/// How a text goes on.
#[derive(Clone, Debug, PartialEq)]
pub struct GenerateOptions {
    /// How a token is chosen.
    pub sampling: Sampling,
    /// At most so many new tokens.
    pub max_new_tokens: usize,
    /// At most so many tokens of a prompt go through the model at once; absent: all.
    pub prefill_chunk_size: Option<usize>,
    /// Tokens that end the text, besides the tokenizer's own.
    pub stop_token_ids: Vec<u32>,
}

impl Default for GenerateOptions {
    fn default() -> Self {
        Self {
            sampling: Sampling::default(),
            max_new_tokens: 256,
            prefill_chunk_size: None,
            stop_token_ids: Vec::new(),
        }
    }
}

/// What was written after a prompt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GeneratedText {
    /// The text after the prompt.
    pub text: String,
    /// Its tokens.
    pub ids: Vec<u32>,
    /// Why it ends.
    pub finish_reason: FinishReason,
}

impl<'a> Generator<'a> {
    /// Puts the two together.
    ///
    /// # Errors
    /// If the tokenizer has tokens that the model lacks.
    pub fn new(model: &'a Model, tokenizer: &'a Tokenizer) -> Result<Self, GenerateError> {
        let (tokens, known) = (tokenizer.vocab_size(), model.config().vocab);
        if tokens > known {
            return Err(GenerateError::VocabMismatch { tokenizer: tokens, model: known });
        }
        let usage = GenerationMode::for_visibility(model.config().visibility, tokenizer.special_tokens());
        Ok(Self { model, tokenizer, mode: usage })
    }

    /// The same for a model that was trained to do this with a text.
    pub fn with_mode(self, usage: GenerationMode) -> Self {
        Self { mode: usage, ..self }
    }

    /// Its tokenizer.
    pub fn tokenizer(&self) -> &'a Tokenizer {
        self.tokenizer
    }

    /// What it can do with a text.
    pub fn mode(&self) -> GenerationMode {
        self.mode
    }

    /// Goes on after `prompt`, piece by piece.
    ///
    /// # Errors
    /// If an option can't be, or the prompt is too long.
    pub fn stream(&self, prompt: &str, options: &GenerateOptions) -> Result<TextStream<'a>, GenerateError> {
        self.stream_ids(self.encode_prompts(&[prompt])?.remove(0), options)
    }

    /// Goes on after tokens as they are, piece by piece.
    ///
    /// # Errors
    /// If an option can't be, or there are too many tokens.
    pub fn stream_ids(&self, ids: Vec<u32>, options: &GenerateOptions) -> Result<TextStream<'a>, GenerateError> {
        self.stream_with_cache(None, ids, options)
    }

    /// The same where the model has read the beginning of the tokens; if they begin otherwise, it reads them anew.
    ///
    /// # Errors
    /// If an option can't be, or there are too many tokens.
    pub fn stream_with_cache(
        &self,
        reading: Option<PrefixCache>,
        ids: Vec<u32>,
        options: &GenerateOptions,
    ) -> Result<TextStream<'a>, GenerateError> {
        let (model, request) = self.build_request(vec![ids], options)?;
        let generation = Generation::with_cache(&model, request, reading)?;
        let decoder = Some(StreamDecoder::new(self.tokenizer));
        Ok(TextStream { generation, decoder, ids: Vec::new() })
    }

    /// Goes on after each of `prompts`, all of them at once.
    ///
    /// # Errors
    /// If an option can't be, a prompt is too long, the weights are broken or the device fails.
    pub async fn generate(
        &self,
        prompts: &[&str],
        options: &GenerateOptions,
    ) -> Result<Vec<GeneratedText>, GenerateError> {
        let (model, request) = self.build_request(self.encode_prompts(prompts)?, options)?;
        let outputs = generate(&model, request).await?;
        let written = |output: crate::GenerateOutput| {
            let text = self.tokenizer.decode(&output.ids)?;
            Ok(GeneratedText { text, ids: output.ids, finish_reason: output.finish_reason })
        };
        outputs.into_iter().map(written).collect()
    }

    /// Tokens of prompts, as the model was trained to see them.
    fn encode_prompts(&self, prompts: &[&str]) -> Result<Vec<Vec<u32>>, GenerateError> {
        let opening = self.mode.generates.ok_or(GenerateError::Bidirectional)?;
        // An encoder reads a text to its end, with all that its tokenizer puts around it.
        let whole = self.model.encoder().is_some() && !self.tokenizer.is_kiln_trained();
        let ids = |text: &&str| match whole {
            true => Ok(self.tokenizer.encode_for_model(text, None, &EncodeOptions::default())?.ids),
            false => Ok(self.tokenizer.encode_prompt(opening.first_token, text)),
        };
        prompts.iter().map(ids).collect()
    }

    fn build_request(
        &self,
        prompts: Vec<Vec<u32>>,
        options: &GenerateOptions,
    ) -> Result<(Model, GenerateRequest), GenerateError> {
        let (opening, specials) =
            (self.mode.generates.ok_or(GenerateError::Bidirectional)?, self.tokenizer.special_tokens());
        let own = specials.has_role(TokenRole::Eos).then_some(specials.eos);
        let request = GenerateRequest {
            prompts,
            sampling: options.sampling.clone(),
            max_new_tokens: options.max_new_tokens,
            stop_token_ids: own.into_iter().chain(options.stop_token_ids.iter().copied()).collect(),
            prefill_chunk_size: options.prefill_chunk_size,
            decoder_start_token_id: opening.first_token,
        };
        Ok((self.model.clone().with_visibility(opening.visibility), request))
    }
}

/// A text as it is written.
pub struct TextStream<'a> {
    generation: Generation,
    decoder: Option<StreamDecoder<'a>>,
    ids: Vec<u32>,
}

impl TextStream<'_> {
    /// The next piece of text, empty while a character is not complete; `None` at the end. All pieces together are
    /// the text.
    ///
    /// # Errors
    /// If the weights are broken or the device fails.
    pub async fn next(&mut self) -> Result<Option<String>, GenerateError> {
        let Some(decoder) = self.decoder.as_mut() else { return Ok(None) };
        match self.generation.next().await? {
            Some(tokens) => {
                let ids: Vec<u32> = tokens.iter().map(|token| token.id).collect();
                let pieces = ids.iter().map(|id| decoder.push(*id)).collect::<Result<String, _>>()?;
                self.ids.extend(ids);
                Ok(Some(pieces))
            }
            None => {
                let rest = self.decoder.take().map(StreamDecoder::finish).unwrap_or_default();
                Ok((!rest.is_empty()).then_some(rest))
            }
        }
    }

    /// The new tokens so far.
    pub fn ids(&self) -> &[u32] {
        &self.ids
    }

    /// What the model has read by now, to go on from ([`Generator::stream_after`]).
    pub fn into_prefix_cache(self) -> Option<PrefixCache> {
        self.generation.into_prefix_cache()
    }

    /// Why the text has ended; `None` if it hasn't.
    pub fn finish_reason(&self) -> Option<FinishReason> {
        self.generation.finish_reason(0)
    }
}
