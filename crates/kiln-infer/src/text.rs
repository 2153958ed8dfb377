//! From text to text.

use crate::{
    error::GenerateError,
    generate::{Generation, generate},
    reading::Reading,
    request::{Request, Stop},
    sample::Sampling,
    usage::Usage,
};
use kiln_data::{Role, StreamDecoder, Tokenizer, tokenizer::Preparation};
use kiln_models::Model;

/// A model with its tokenizer, ready to write and to fill blanks.
#[derive(Clone, Copy, Debug)]
pub struct Generator<'a> {
    pub(crate) model: &'a Model,
    pub(crate) tokenizer: &'a Tokenizer,
    pub(crate) usage: Usage,
}

/// How a text goes on.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// How a token is chosen.
    pub sampling: Sampling,
    /// At most so many new tokens.
    pub tokens: usize,
    /// At most so many tokens of a prompt go through the model at once; absent: all.
    pub chunk: Option<usize>,
    /// Tokens that end the text, besides the tokenizer's own.
    pub stop: Vec<u32>,
}

impl Default for Options {
    fn default() -> Self {
        Self { sampling: Sampling::default(), tokens: 256, chunk: None, stop: Vec::new() }
    }
}

/// What was written after a prompt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The text after the prompt.
    pub text: String,
    /// Its tokens.
    pub ids: Vec<u32>,
    /// Why it ends.
    pub stopped_by: Stop,
}

impl<'a> Generator<'a> {
    /// Puts the two together.
    ///
    /// # Errors
    /// If the tokenizer has tokens that the model lacks.
    pub fn new(model: &'a Model, tokenizer: &'a Tokenizer) -> Result<Self, GenerateError> {
        let (tokens, known) = (tokenizer.vocab(), model.config().vocab);
        if tokens > known {
            return Err(GenerateError::Vocabulary { tokenizer: tokens, model: known });
        }
        let usage = Usage::of(model.config().visibility, tokenizer.specials());
        Ok(Self { model, tokenizer, usage })
    }

    /// The same for a model that was trained to do this with a text.
    pub fn with(self, usage: Usage) -> Self {
        Self { usage, ..self }
    }

    /// Its tokenizer.
    pub fn tokenizer(&self) -> &'a Tokenizer {
        self.tokenizer
    }

    /// What it can do with a text.
    pub fn usage(&self) -> Usage {
        self.usage
    }

    /// Goes on after `prompt`, piece by piece.
    ///
    /// # Errors
    /// If an option can't be, or the prompt is too long.
    pub fn stream(&self, prompt: &str, options: &Options) -> Result<TextStream<'a>, GenerateError> {
        self.stream_ids(self.opened(&[prompt])?.remove(0), options)
    }

    /// Goes on after tokens as they are, piece by piece.
    ///
    /// # Errors
    /// If an option can't be, or there are too many tokens.
    pub fn stream_ids(&self, ids: Vec<u32>, options: &Options) -> Result<TextStream<'a>, GenerateError> {
        self.stream_after(None, ids, options)
    }

    /// The same where the model has read the beginning of the tokens; if they begin otherwise, it reads them anew.
    ///
    /// # Errors
    /// If an option can't be, or there are too many tokens.
    pub fn stream_after(
        &self,
        reading: Option<Reading>,
        ids: Vec<u32>,
        options: &Options,
    ) -> Result<TextStream<'a>, GenerateError> {
        let (model, request) = self.request(vec![ids], options)?;
        let generation = Generation::after(&model, request, reading)?;
        let decoder = Some(StreamDecoder::new(self.tokenizer));
        Ok(TextStream { generation, decoder, ids: Vec::new() })
    }

    /// Goes on after each of `prompts`, all of them at once.
    ///
    /// # Errors
    /// If an option can't be, a prompt is too long, the weights are broken or the device fails.
    pub async fn write(&self, prompts: &[&str], options: &Options) -> Result<Vec<Written>, GenerateError> {
        let (model, request) = self.request(self.opened(prompts)?, options)?;
        let outputs = generate(&model, request).await?;
        let written = |output: crate::Output| {
            let text = self.tokenizer.decode(&output.ids)?;
            Ok(Written { text, ids: output.ids, stopped_by: output.stopped_by })
        };
        outputs.into_iter().map(written).collect()
    }

    /// Tokens of prompts, as the model was trained to see them.
    fn opened(&self, prompts: &[&str]) -> Result<Vec<Vec<u32>>, GenerateError> {
        let opening = self.usage.writes.ok_or(GenerateError::Bidirectional)?;
        // An encoder reads a text to its end, with all that its tokenizer puts around it.
        let whole = self.model.encoder().is_some() && !self.tokenizer.is_own();
        let ids = |text: &&str| match whole {
            true => Ok(self.tokenizer.prepare(text, None, &Preparation::default())?.ids),
            false => Ok(self.tokenizer.opening(opening.first, text)),
        };
        prompts.iter().map(ids).collect()
    }

    fn request(&self, prompts: Vec<Vec<u32>>, options: &Options) -> Result<(Model, Request), GenerateError> {
        let (opening, specials) = (self.usage.writes.ok_or(GenerateError::Bidirectional)?, self.tokenizer.specials());
        let own = specials.has(Role::Eos).then_some(specials.eos);
        let request = Request {
            prompts,
            sampling: options.sampling.clone(),
            tokens: options.tokens,
            stop: own.into_iter().chain(options.stop.iter().copied()).collect(),
            chunk: options.chunk,
            start: opening.first,
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
    pub fn into_reading(self) -> Option<Reading> {
        self.generation.into_reading()
    }

    /// Why the text has ended; `None` if it hasn't.
    pub fn stopped_by(&self) -> Option<Stop> {
        self.generation.stopped_by(0)
    }
}
