//! Encoding: text to ids, with offsets, or as model input.
//!
//! Byte-level BPE encodes each word on its own: the pre-tokenizer splits the text, and the model merges the bytes of a
//! word, always the pair that training merged first. Equal words give equal ids, so that a [`CachingEncoder`] looks
//! frequent words up instead of merging them again.

use super::{
    EncodeOptions, Encoding, Scheme, TextSide, TokenRole, Tokenizer, byte_encoding::to_byte_level,
    pre_tokenizer::split_words,
};
use crate::DataError;
use std::{collections::HashMap, ops::Range};
use tokenizers::{Model, ModelWrapper};

impl Tokenizer {
    /// Ids of a text without added special tokens. To a tokenizer trained by Kiln, names of special tokens in the text
    /// are plain text; other tokenizers recognize them.
    pub fn encode(&self, text: &str) -> Vec<u32> {
        CachingEncoder::new(self).encode(text)
    }

    /// [`encode`](Self::encode) with the offsets of each token in bytes.
    pub fn encode_with_offsets(&self, text: &str) -> Encoding {
        let options = EncodeOptions { add_special_tokens: false, truncation: None };
        self.encode_for_model(text, None, &options).unwrap_or_default()
    }

    /// Ids of a text without added special tokens, and the bytes of the text that each stands for. Unlike
    /// [`encode_with_offsets`](Self::encode_with_offsets), spaces at the ends of a token belong to it.
    ///
    /// # Errors
    /// If the pipeline of the tokenizer fails.
    pub fn encode_with_ranges(&self, text: &str) -> Result<(Vec<u32>, Vec<Range<usize>>), DataError> {
        match self.as_hf() {
            Some(hf) => hf.encode_with_ranges(text),
            None => {
                let ids = self.encode(text);
                let mut end = 0;
                let range = |id: &u32| {
                    let start = end;
                    end += self.vocabulary.token_bytes(*id).len();
                    start..end
                };
                let ranges = ids.iter().map(range).collect();
                Ok((ids, ranges))
            }
        }
    }

    /// Encodes a text, or a pair of texts, as input of the tokenizer's model: with the special tokens that its
    /// `post_processor` adds (BERT: `[CLS] text [SEP] pair [SEP]`). A tokenizer trained by Kiln adds none.
    ///
    /// # Errors
    /// If the pipeline of the tokenizer fails, or for a pair if Kiln trained the tokenizer.
    pub fn encode_for_model(
        &self,
        text: &str,
        pair: Option<&str>,
        options: &EncodeOptions,
    ) -> Result<Encoding, DataError> {
        match (self.as_hf(), pair) {
            (Some(hf), pair) => hf.encode_for_model(text, pair, options),
            (None, None) => Ok(self.encode_kiln(text, options)),
            (None, Some(_)) => Err(DataError::tokenizer("a tokenizer trained by Kiln cannot encode a pair of texts")),
        }
    }

    /// The encoding of a tokenizer trained by Kiln. It is lossless, so that the offsets are the running sums of the
    /// lengths of the tokens.
    fn encode_kiln(&self, text: &str, options: &EncodeOptions) -> Encoding {
        let ids = self.encode(text);
        let mut offsets: Vec<Range<usize>> = Vec::with_capacity(ids.len());
        for id in &ids {
            let start = offsets.last().map_or(0, |previous| previous.end);
            offsets.push(start..start + self.vocabulary.token_bytes(*id).len());
        }
        let range = match options.truncation {
            Some((max, TextSide::Left)) => ids.len() - max.min(ids.len())..ids.len(),
            Some((max, TextSide::Right)) => 0..max.min(ids.len()),
            None => 0..ids.len(),
        };
        let ids = ids[range.clone()].to_vec();
        Encoding {
            tokens: ids.iter().map(|id| self.id_to_token(*id)).collect(),
            type_ids: vec![0; ids.len()],
            attention_mask: vec![true; ids.len()],
            offsets: offsets[range].to_vec(),
            ids,
        }
    }

    /// [`encode_for_model`](Self::encode_for_model) of one text that may itself begin with the token that begins a
    /// text: then none is added. The reference library adds a second one, which models have not seen in training.
    ///
    /// # Errors
    /// If the pipeline of the tokenizer fails.
    pub fn encode_input(&self, text: &str, options: &EncodeOptions) -> Result<Encoding, DataError> {
        let encoding = self.encode_for_model(text, None, options)?;
        let is_added = encoding.offsets.first().is_some_and(Range::is_empty);
        let is_doubled = |encoding: &Encoding| {
            encoding.ids.get(1) == encoding.ids.first()
                && encoding.offsets.get(1).is_some_and(|range| range.start == 0 && !range.is_empty())
        };
        if !is_added || !self.special_tokens().begins_text(&encoding.ids) || !is_doubled(&encoding) {
            return Ok(encoding);
        }
        // The token that is left out makes room for another one.
        let truncation = options.truncation.map(|(max, side)| (max.saturating_add(1), side));
        let longer = self.encode_for_model(text, None, &EncodeOptions { truncation, ..*options })?;
        Ok(if is_doubled(&longer) { longer.without_first() } else { encoding })
    }

    /// Ids of a prompt that a model continues. A tokenizer trained by Kiln gives `first_token` and the ids of the
    /// text. Other tokenizers give [`encode_input`](Self::encode_input) without an end-of-text token at the end, which
    /// would end the text; only if that is empty, `first_token` alone. The result is never empty.
    pub fn encode_prompt(&self, first_token: u32, text: &str) -> Vec<u32> {
        if self.is_kiln_trained() {
            return [vec![first_token], self.encode(text)].concat();
        }
        let mut ids = self.encode_input(text, &EncodeOptions::default()).unwrap_or_default().ids;
        if !text.is_empty() && ids.last().is_some_and(|last| self.is_eos(*last)) {
            ids.pop();
        }
        if ids.is_empty() { vec![first_token] } else { ids }
    }

    /// Whether a token is the end-of-text token, if the tokenizer has one.
    fn is_eos(&self, id: u32) -> bool {
        self.special_tokens().has_role(TokenRole::Eos) && id == self.special_tokens().eos
    }
}

/// Encoder of many texts that caches the ids of words. Used for whole corpora.
pub struct CachingEncoder<'a> {
    scheme: &'a Scheme,
    word_cache: HashMap<String, Vec<u32>>,
}

/// Maximum number of cached words: at most 50 MB with the limit below.
const MAX_CACHED_WORDS: usize = 1 << 17;
/// Length of the longest cached word, in bytes. Longer ones are too rare to pay for their memory.
const MAX_CACHED_WORD_BYTES: usize = 64;

impl<'a> CachingEncoder<'a> {
    /// An encoder with an empty cache.
    pub fn new(tokenizer: &'a Tokenizer) -> Self {
        Self { scheme: &tokenizer.scheme, word_cache: HashMap::new() }
    }

    /// Ids of a text, the same as [`Tokenizer::encode`].
    pub fn encode(&mut self, text: &str) -> Vec<u32> {
        match self.scheme {
            Scheme::Byte(byte_ids) => text.bytes().map(|byte| byte_ids[byte as usize]).collect(),
            Scheme::Hf(hf) => hf.encode(text),
            Scheme::Character(character_ids, byte_ids) => encode_characters(text, character_ids, byte_ids),
            Scheme::Bpe(model) => {
                let mut ids = Vec::with_capacity(text.len() / 3);
                split_words(text).for_each(|word| self.push_word(model, word, &mut ids));
                ids
            }
        }
    }

    /// Appends the ids of a word, from the cache if they are there.
    fn push_word(&mut self, model: &ModelWrapper, word: &str, ids: &mut Vec<u32>) {
        if let Some(cached) = self.word_cache.get(word) {
            return ids.extend_from_slice(cached);
        }
        let word_ids = encode_word(model, word);
        ids.extend_from_slice(&word_ids);
        if word.len() <= MAX_CACHED_WORD_BYTES && self.word_cache.len() < MAX_CACHED_WORDS {
            self.word_cache.insert(word.into(), word_ids);
        }
    }
}

/// Ids of a word. The model cannot fail: every byte is a token, and there is no dropout.
fn encode_word(model: &ModelWrapper, word: &str) -> Vec<u32> {
    let tokens = model.tokenize(&to_byte_level(word.as_bytes())).unwrap_or_default();
    tokens.into_iter().map(|token| token.id).collect()
}

/// Ids of characters; the ids of its UTF-8 bytes for a character that is not a token.
fn encode_characters(text: &str, character_ids: &HashMap<char, u32>, byte_ids: &[u32]) -> Vec<u32> {
    let mut ids = Vec::with_capacity(text.len());
    for c in text.chars() {
        match character_ids.get(&c) {
            Some(id) => ids.push(*id),
            None => ids.extend(c.encode_utf8(&mut [0; 4]).bytes().map(|byte| byte_ids[byte as usize])),
        }
    }
    ids
}
