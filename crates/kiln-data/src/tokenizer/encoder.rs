//! Encoding many texts: words seen before are looked up.

use super::{Scheme, Tokenizer, bytes::spell, words::words};
use std::collections::HashMap;
use tokenizers::{Model, ModelWrapper};

/// Encodes texts one after another, remembering the words.
pub struct Encoder<'a> {
    scheme: &'a Scheme,
    known: HashMap<String, Vec<u32>>,
}

/// The most words remembered.
const WORDS: usize = 1 << 17;
/// The longest word remembered, in bytes.
const LONGEST: usize = 64;

impl<'a> Encoder<'a> {
    /// An encoder that has seen nothing.
    pub fn new(tokenizer: &'a Tokenizer) -> Self {
        Self { scheme: &tokenizer.scheme, known: HashMap::new() }
    }

    /// The same as [`Tokenizer::encode`].
    pub fn encode(&mut self, text: &str) -> Vec<u32> {
        match self.scheme {
            Scheme::Byte(bytes) => text.bytes().map(|byte| bytes[byte as usize]).collect(),
            Scheme::Foreign(foreign) => foreign.ids(text),
            Scheme::Character(known, bytes) => characters(text, known, bytes),
            Scheme::Bpe(model) => {
                let mut ids = Vec::with_capacity(text.len() / 3);
                words(text).for_each(|word| self.push(model, word, &mut ids));
                ids
            }
        }
    }

    fn push(&mut self, model: &ModelWrapper, word: &str, ids: &mut Vec<u32>) {
        if let Some(known) = self.known.get(word) {
            return ids.extend_from_slice(known);
        }
        let new = merged(model, word);
        ids.extend_from_slice(&new);
        if word.len() <= LONGEST && self.known.len() < WORDS {
            self.known.insert(word.into(), new);
        }
    }
}

/// A word's ids. The model cannot fail: it knows every byte and drops nothing.
fn merged(model: &ModelWrapper, word: &str) -> Vec<u32> {
    let tokens = model.tokenize(&spell(word.as_bytes())).unwrap_or_default();
    tokens.into_iter().map(|token| token.id).collect()
}

fn characters(text: &str, known: &HashMap<char, u32>, bytes: &[u32]) -> Vec<u32> {
    let mut ids = Vec::with_capacity(text.len());
    for c in text.chars() {
        match known.get(&c) {
            Some(id) => ids.push(*id),
            None => ids.extend(c.encode_utf8(&mut [0; 4]).bytes().map(|byte| bytes[byte as usize])),
        }
    }
    ids
}
