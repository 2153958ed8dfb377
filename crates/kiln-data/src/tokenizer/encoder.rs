//! Encoding many texts: words seen before are looked up.

use super::{Scheme, Tokenizer, byte_encoding::to_byte_level, pre_tokenizer::split_words};
use std::collections::HashMap;
use tokenizers::{Model, ModelWrapper};

/// Encodes texts one after another, remembering the words.
pub struct CachingEncoder<'a> {
    scheme: &'a Scheme,
    word_cache: HashMap<String, Vec<u32>>,
}

/// The most words remembered.
const MAX_CACHED_WORDS: usize = 1 << 17;
/// The longest word remembered, in bytes.
const MAX_CACHED_WORD_BYTES: usize = 64;

impl<'a> CachingEncoder<'a> {
    /// An encoder that has seen nothing.
    pub fn new(tokenizer: &'a Tokenizer) -> Self {
        Self { scheme: &tokenizer.scheme, word_cache: HashMap::new() }
    }

    /// The same as [`Tokenizer::encode`].
    pub fn encode(&mut self, text: &str) -> Vec<u32> {
        match self.scheme {
            Scheme::Byte(bytes) => text.bytes().map(|byte| bytes[byte as usize]).collect(),
            Scheme::Hf(foreign) => foreign.encode(text),
            Scheme::Character(known, bytes) => encode_characters(text, known, bytes),
            Scheme::Bpe(model) => {
                let mut ids = Vec::with_capacity(text.len() / 3);
                split_words(text).for_each(|word| self.push_word(model, word, &mut ids));
                ids
            }
        }
    }

    fn push_word(&mut self, model: &ModelWrapper, word: &str, ids: &mut Vec<u32>) {
        if let Some(known) = self.word_cache.get(word) {
            return ids.extend_from_slice(known);
        }
        let new = encode_word(model, word);
        ids.extend_from_slice(&new);
        if word.len() <= MAX_CACHED_WORD_BYTES && self.word_cache.len() < MAX_CACHED_WORDS {
            self.word_cache.insert(word.into(), new);
        }
    }
}

/// A word's ids. The model cannot fail: it knows every byte and drops nothing.
fn encode_word(model: &ModelWrapper, word: &str) -> Vec<u32> {
    let tokens = model.tokenize(&to_byte_level(word.as_bytes())).unwrap_or_default();
    tokens.into_iter().map(|token| token.id).collect()
}

fn encode_characters(text: &str, known: &HashMap<char, u32>, bytes: &[u32]) -> Vec<u32> {
    let mut ids = Vec::with_capacity(text.len());
    for c in text.chars() {
        match known.get(&c) {
            Some(id) => ids.push(*id),
            None => ids.extend(c.encode_utf8(&mut [0; 4]).bytes().map(|byte| bytes[byte as usize])),
        }
    }
    ids
}
