//! Sentence encoder: texts to vectors as the files of the model say (`sentence-transformers`, 1908.10084).

use crate::{embed::pool_texts, error::GenerateError};
use burn::tensor::Tensor;
use kiln_data::{
    Tokenizer,
    tokenizer::{EncodeOptions, TextSide},
};
use kiln_kernels::exact::Arithmetic;
use kiln_models::Model;
use kiln_pretrained::sentence::SentenceConfig;
use kiln_spec::ValidationError;

/// A model with its tokenizer that turns texts into vectors.
///
/// Steps: prompt + text → tokens, cut to the model's length → hidden states → pooling → the modules after it.
#[derive(Clone, Copy, Debug)]
pub struct SentenceEncoder<'a> {
    /// The model.
    pub model: &'a Model,
    /// Its tokenizer.
    pub tokenizer: &'a Tokenizer,
    /// How its hidden states become a vector.
    pub config: &'a SentenceConfig,
}

impl SentenceEncoder<'_> {
    /// Returns one vector per text, `[texts, width]`. `prompt` is put before every text.
    ///
    /// # Errors
    /// If a text cannot be tokenized or has no tokens, the prompt leaves no room for a text, or a dense module does not fit
    /// the model.
    pub fn encode<S: AsRef<str>>(&self, texts: &[S], prompt: &str) -> Result<Tensor<2>, GenerateError> {
        self.encode_in(texts, prompt, Arithmetic::Fast)
    }

    /// [`encode`](Self::encode) in the given arithmetic. With [`Arithmetic::Exact`] a text's vector is the same to the bit alone
    /// and beside others, and for any number of threads.
    ///
    /// # Errors
    /// As [`encode`](Self::encode); also exact arithmetic on a device that doesn't have it.
    pub fn encode_in<S: AsRef<str>>(
        &self,
        texts: &[S],
        prompt: &str,
        arithmetic: Arithmetic,
    ) -> Result<Tensor<2>, GenerateError> {
        let prompt_length = if prompt.is_empty() { 0 } else { self.prompt_length(prompt)? };
        let skipped = if self.config.pooling.include_prompt { 0 } else { prompt_length };
        let ids = texts.iter().map(|text| self.tokenize(prompt, text.as_ref())).collect::<Result<Vec<_>, _>>()?;
        let vectors = pool_texts(self.model, &ids, &self.config.pooling.modes, skipped, arithmetic)?;
        if ids.is_empty() { Ok(vectors) } else { Ok(self.config.apply_modules(vectors, arithmetic)?) }
    }

    /// Longest text in tokens, special tokens included; `None` if there is no limit.
    pub fn max_length(&self) -> Option<usize> {
        let positions = match self.model.config().encoder_model_config() {
            Some(encoder) => encoder.max_positions(),
            None => self.model.max_positions(),
        };
        [self.config.max_length, positions].into_iter().flatten().min()
    }

    /// Token ids of a text, cut at the end, with the special tokens that the tokenizer adds. A tokenizer trained by Kiln adds
    /// none: its models read every text between `<bos>` and `<eos>`.
    fn tokenize(&self, prompt: &str, text: &str) -> Result<Vec<u32>, GenerateError> {
        let text = self.config.prepare_text(prompt, text);
        let specials = if self.tokenizer.is_kiln_trained() { Some(self.tokenizer.special_tokens()) } else { None };
        let room = self.max_length().map(|length| length.saturating_sub(if specials.is_some() { 2 } else { 0 }));
        let options =
            EncodeOptions { truncation: room.map(|room| (room, TextSide::Right)), ..EncodeOptions::default() };
        let mut ids = self.tokenizer.encode_input(&text, &options)?.ids;
        if let Some(specials) = specials {
            ids.insert(0, specials.bos);
            ids.push(specials.eos);
        }
        self.tokenizer.check_rows(&ids, self.model.config().vocab)?;
        Ok(ids)
    }

    /// Number of tokens of a prompt at the start of a text: without the special token that ends a text.
    fn prompt_length(&self, prompt: &str) -> Result<usize, GenerateError> {
        let prompt_ids = self.tokenize(prompt, "")?;
        if let Some(limit) = self.max_length().filter(|limit| prompt_ids.len() >= *limit) {
            let reason = format!("the prompt leaves no room for a text in the model's {limit} tokens");
            return Err(ValidationError::new("prompt", reason).with_suggestion("use a shorter prompt").into());
        }
        let empty_ids = self.tokenize("", "")?;
        let ends_alike = empty_ids.last().is_some_and(|end| prompt_ids.last() == Some(end));
        Ok(prompt_ids.len() - usize::from(ends_alike))
    }
}
