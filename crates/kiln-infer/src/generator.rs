//! Text generator: a model with its tokenizer.

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

/// Model and tokenizer for generating text and filling blanks.
///
/// The example of the [crate] shows both ways of generation.
#[derive(Clone, Copy, Debug)]
pub struct Generator<'a> {
    pub(crate) model: &'a Model,
    pub(crate) tokenizer: &'a Tokenizer,
    pub(crate) mode: GenerationMode,
}

/// Options of text generation.
#[derive(Clone, Debug, PartialEq)]
pub struct GenerateOptions {
    /// Choice of each token.
    pub sampling: Sampling,
    /// Maximum number of new tokens. Default: 256.
    pub max_new_tokens: usize,
    /// Maximum number of prompt tokens that are processed at once, to limit memory; `None` (default): all.
    pub prefill_chunk_size: Option<usize>,
    /// Stop tokens in addition to the tokenizer's `<eos>`.
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

/// Continuation of a prompt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GeneratedText {
    /// Text after the prompt.
    pub text: String,
    /// Token ids of `text`.
    pub ids: Vec<u32>,
    /// Why the text ended.
    pub finish_reason: FinishReason,
}

impl<'a> Generator<'a> {
    /// Creates a generator. Its mode follows from the model's visibility, see [`GenerationMode::for_visibility`].
    ///
    /// # Errors
    /// [`GenerateError::VocabMismatch`] if the tokenizer has more tokens than the model. The model may have more, as many
    /// published models with padded vocabularies do.
    pub fn new(model: &'a Model, tokenizer: &'a Tokenizer) -> Result<Self, GenerateError> {
        let tokenizer_vocab = tokenizer.vocab_size();
        let model_vocab = model.config().vocab;
        if tokenizer_vocab > model_vocab {
            return Err(GenerateError::VocabMismatch { tokenizer: tokenizer_vocab, model: model_vocab });
        }
        let mode = GenerationMode::for_visibility(model.config().visibility, tokenizer.special_tokens());
        Ok(Self { model, tokenizer, mode })
    }

    /// Sets the mode of a model that was trained differently, such as with the `unified` objective.
    pub fn with_mode(self, mode: GenerationMode) -> Self {
        Self { mode, ..self }
    }

    /// Returns the tokenizer.
    pub fn tokenizer(&self) -> &'a Tokenizer {
        self.tokenizer
    }

    /// Returns the mode.
    pub fn mode(&self) -> GenerationMode {
        self.mode
    }

    /// Starts to generate the continuation of a prompt, piece by piece.
    ///
    /// # Errors
    /// An invalid option, a model that cannot generate, or a prompt that is too long.
    pub fn stream(&self, prompt: &str, options: &GenerateOptions) -> Result<TextStream<'a>, GenerateError> {
        self.stream_ids(self.encode_prompts(&[prompt])?.remove(0), options)
    }

    /// Starts to generate the continuation of token ids, piece by piece. No `<bos>` is added.
    ///
    /// # Errors
    /// As [`stream`](Self::stream).
    pub fn stream_ids(&self, ids: Vec<u32>, options: &GenerateOptions) -> Result<TextStream<'a>, GenerateError> {
        let decoder = StreamDecoder::continuing(self.tokenizer, self.decoder_context(&ids))?;
        self.start(None, ids, options, decoder)
    }

    /// Starts to generate the answer to a rendered conversation, given as token ids, from a prefix cache, see
    /// [`Generation::with_cache`].
    ///
    /// The answer is decoded as a text of its own. After a prompt such as `[/INST]`, a model whose tokenizer puts a space
    /// in front of each text generates that space, which is not part of the answer.
    ///
    /// # Errors
    /// As [`stream`](Self::stream).
    pub fn stream_with_cache(
        &self,
        cache: Option<PrefixCache>,
        ids: Vec<u32>,
        options: &GenerateOptions,
    ) -> Result<TextStream<'a>, GenerateError> {
        self.start(cache, ids, options, StreamDecoder::new(self.tokenizer))
    }

    /// Starts to generate after token ids; `decoder` decodes the new ones.
    fn start(
        &self,
        cache: Option<PrefixCache>,
        ids: Vec<u32>,
        options: &GenerateOptions,
        decoder: StreamDecoder<'a>,
    ) -> Result<TextStream<'a>, GenerateError> {
        let (model, request) = self.build_request(vec![ids], options)?;
        let generation = Generation::with_cache(&model, request, cache)?;
        Ok(TextStream { generation, decoder: Some(decoder), ids: Vec::new() })
    }

    /// The ids that the new tokens continue: the prompt, except in an encoder–decoder, whose decoder begins a text.
    fn decoder_context<'b>(&self, prompt: &'b [u32]) -> &'b [u32] {
        if self.model.encoder().is_some() { &[] } else { prompt }
    }

    /// Generates the continuations of several prompts in one batch.
    ///
    /// # Errors
    /// As [`stream`](Self::stream); also [`GenerateError::NotFinite`] and errors of the device.
    pub async fn generate(
        &self,
        prompts: &[&str],
        options: &GenerateOptions,
    ) -> Result<Vec<GeneratedText>, GenerateError> {
        let prompts = self.encode_prompts(prompts)?;
        let (model, request) = self.build_request(prompts.clone(), options)?;
        let mut texts = Vec::with_capacity(prompts.len());
        for (output, prompt) in generate(&model, request).await?.into_iter().zip(&prompts) {
            let text = self.tokenizer.decode_continuation(self.decoder_context(prompt), &output.ids)?;
            texts.push(GeneratedText { text, ids: output.ids, finish_reason: output.finish_reason });
        }
        Ok(texts)
    }

    /// Token ids of prompts in the format of the mode.
    fn encode_prompts(&self, prompts: &[&str]) -> Result<Vec<Vec<u32>>, GenerateError> {
        let format = self.mode.generates.ok_or(GenerateError::Bidirectional)?;
        // Encoders of published encoder-decoder models (T5) expect the tokenizer's template, including `</s>`.
        if self.model.encoder().is_some() && !self.tokenizer.is_kiln_trained() {
            return prompts
                .iter()
                .map(|text| Ok(self.tokenizer.encode_for_model(text, None, &EncodeOptions::default())?.ids))
                .collect();
        }
        Ok(prompts.iter().map(|text| self.tokenizer.encode_prompt(format.first_token, text)).collect())
    }

    /// Request for prompts, and the model with the visibility of the mode.
    fn build_request(
        &self,
        prompts: Vec<Vec<u32>>,
        options: &GenerateOptions,
    ) -> Result<(Model, GenerateRequest), GenerateError> {
        let format = self.mode.generates.ok_or(GenerateError::Bidirectional)?;
        let special_tokens = self.tokenizer.special_tokens();
        let eos = special_tokens.has_role(TokenRole::Eos).then_some(special_tokens.eos);
        let request = GenerateRequest {
            prompts,
            sampling: options.sampling.clone(),
            max_new_tokens: options.max_new_tokens,
            stop_token_ids: eos.into_iter().chain(options.stop_token_ids.iter().copied()).collect(),
            prefill_chunk_size: options.prefill_chunk_size,
            decoder_start_token_id: format.first_token,
        };
        Ok((self.model.clone().with_visibility(format.visibility), request))
    }
}

/// Text that is generated piece by piece.
pub struct TextStream<'a> {
    generation: Generation,
    /// `None` after the end.
    decoder: Option<StreamDecoder<'a>>,
    ids: Vec<u32>,
}

impl TextStream<'_> {
    /// Generates the next token and returns the text that it completes; `None` at the end.
    ///
    /// The piece is empty while the bytes of a character are incomplete. All pieces concatenate to the text of
    /// [`Generator::generate`].
    ///
    /// # Errors
    /// [`GenerateError::NotFinite`], or an error of the device.
    pub async fn next(&mut self) -> Result<Option<String>, GenerateError> {
        let Some(decoder) = self.decoder.as_mut() else { return Ok(None) };
        match self.generation.next().await? {
            Some(tokens) => {
                let ids: Vec<u32> = tokens.iter().map(|token| token.id).collect();
                let piece = ids.iter().map(|id| decoder.push(*id)).collect::<Result<String, _>>()?;
                self.ids.extend(ids);
                Ok(Some(piece))
            }
            None => {
                let rest = self.decoder.take().map(StreamDecoder::finish).unwrap_or_default();
                Ok((!rest.is_empty()).then_some(rest))
            }
        }
    }

    /// Returns the new token ids so far.
    pub fn ids(&self) -> &[u32] {
        &self.ids
    }

    /// Returns the prefix cache for [`Generator::stream_with_cache`], see [`Generation::into_prefix_cache`].
    pub fn into_prefix_cache(self) -> Option<PrefixCache> {
        self.generation.into_prefix_cache()
    }

    /// Returns why the text ended; `None` if it has not.
    pub fn finish_reason(&self) -> Option<FinishReason> {
        self.generation.finish_reason(0)
    }
}
