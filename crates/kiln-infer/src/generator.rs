//! Text generator: a model with its tokenizer.

use crate::{
    error::GenerateError,
    generate::Generation,
    generate_options::GenerateOptions,
    prefix_cache::PrefixCache,
    request::{FinishReason, GenerateRequest},
    row_text::{RowText, TextToken},
    text_stream::TextStream,
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

/// Continuation of a prompt.
#[derive(Clone, Debug, PartialEq)]
pub struct GeneratedText {
    /// Text after the prompt.
    pub text: String,
    /// Token ids of `text`, those of a stop text included.
    pub ids: Vec<u32>,
    /// The tokens of `ids` with their texts and probabilities; empty if
    /// [`alternatives`](GenerateOptions::alternatives) is 0.
    pub tokens: Vec<TextToken>,
    /// Why the text ended.
    pub finish_reason: FinishReason,
}

impl<'a> Generator<'a> {
    /// Creates a generator. Its mode follows from the model's visibility, see [`GenerationMode::for_visibility`].
    ///
    /// Published models and tokenizers may have different numbers of tokens: a model has unused rows, or a tokenizer has
    /// tokens that were added and never trained. A token without a row is an error when it is used.
    ///
    /// # Errors
    /// [`GenerateError::VocabMismatch`] if the tokenizer was trained by Kiln and has more tokens than the model: it is that
    /// of another run.
    pub fn new(model: &'a Model, tokenizer: &'a Tokenizer) -> Result<Self, GenerateError> {
        let tokenizer_vocab = tokenizer.vocab_size();
        let model_vocab = model.config().vocab;
        if tokenizer_vocab > model_vocab && tokenizer.is_kiln_trained() {
            return Err(GenerateError::VocabMismatch { tokenizer: tokenizer_vocab, model: model_vocab });
        }
        let mode = GenerationMode::for_visibility(model.config().visibility, tokenizer.special_tokens());
        Ok(Self { model, tokenizer, mode })
    }

    /// Checks that the model has a row for each token of some texts.
    pub(crate) fn check_rows(&self, texts: &[Vec<u32>]) -> Result<(), GenerateError> {
        let rows = self.model.config().vocab;
        Ok(texts.iter().try_for_each(|text| self.tokenizer.check_rows(text, rows))?)
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
        self.stream_ids(self.encode_prompt(prompt)?, options)
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
        Ok(TextStream { generation, text: RowText::new(self.tokenizer, decoder, options)? })
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
        self.generate_with_pauses(prompts, options, async || ()).await
    }

    /// [`generate`](Self::generate) with a pause after each token of all rows, in which a program does other work.
    ///
    /// # Errors
    /// As [`generate`](Self::generate).
    pub async fn generate_with_pauses(
        &self,
        prompts: &[&str],
        options: &GenerateOptions,
        mut pause: impl AsyncFnMut(),
    ) -> Result<Vec<GeneratedText>, GenerateError> {
        let prompts = self.encode_prompts(prompts)?;
        let (model, request) = self.build_request(prompts.clone(), options)?;
        let mut generation = Generation::new(&model, request)?;
        let decoder = |prompt: &Vec<u32>| StreamDecoder::continuing(self.tokenizer, self.decoder_context(prompt));
        let rows = prompts.iter().map(|prompt| RowText::new(self.tokenizer, decoder(prompt)?, options));
        let mut rows = rows.collect::<Result<Vec<_>, _>>()?;
        let mut texts = vec![String::new(); rows.len()];
        while let Some(tokens) = generation.next().await? {
            for token in tokens {
                let row = token.row;
                texts[row] += &rows[row].push(token)?;
                if rows[row].is_stopped() {
                    generation.end_row(row, FinishReason::StopText);
                }
            }
            pause().await;
        }
        let rows = texts.into_iter().zip(rows).enumerate();
        Ok(rows.map(|(row, (text, rest))| finish_text(text, rest, generation.finish_reason(row))).collect())
    }

    /// Returns the token ids of a prompt in the format of the mode, such as with `<bos>`.
    ///
    /// # Errors
    /// [`GenerateError::Bidirectional`] for a model that only infills, or an error of the tokenizer.
    pub fn encode_prompt(&self, prompt: &str) -> Result<Vec<u32>, GenerateError> {
        Ok(self.encode_prompts(&[prompt])?.remove(0))
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
        self.check_rows(&prompts)?;
        let mut processors = options.processors.clone();
        if options.mask_unassigned {
            processors.suppress_tokens.extend(self.unassigned_ids());
        }
        let request = GenerateRequest {
            prompts,
            processors,
            sampling: options.sampling.clone(),
            max_new_tokens: options.max_new_tokens,
            max_length: options.max_length,
            alternatives: options.alternatives,
            stop_token_ids: self.stop_token_ids(options),
            prefill_chunk_size: options.prefill_chunk_size,
            cache_dtype: options.cache_dtype,
            decoder_start_token_id: options.decoder_start_token_id.unwrap_or(format.first_token),
            arithmetic: options.arithmetic,
        };
        Ok((self.model.clone().with_visibility(format.visibility), request))
    }

    /// The tokens that end a text: those of the options, else the tokenizer's `<eos>`, if it has one.
    fn stop_token_ids(&self, options: &GenerateOptions) -> Vec<u32> {
        let special_tokens = self.tokenizer.special_tokens();
        match &options.stop_token_ids[..] {
            [] if special_tokens.has_role(TokenRole::Eos) => vec![special_tokens.eos],
            ids => ids.to_vec(),
        }
    }

    /// The ids of the model that have no token.
    pub(crate) fn unassigned_ids(&self) -> impl Iterator<Item = u32> {
        (0..self.model.config().vocab as u32).filter(|id| !self.tokenizer.has_token(*id))
    }
}

/// The result of a row from the text so far and what is still open.
fn finish_text(text: String, mut rest: RowText, finish_reason: Option<FinishReason>) -> GeneratedText {
    let text = text + &rest.finish();
    let finish_reason = match rest.is_stopped() {
        true => FinishReason::StopText,
        false => finish_reason.unwrap_or(FinishReason::MaxTokens),
    };
    let (ids, tokens) = rest.into_tokens();
    GeneratedText { text, ids, tokens, finish_reason }
}
