//! [`Vocabulary`]: the tokens of a tokenizer as bytes, and the beginnings of words in a sequence of ids.

use super::{SpecialTokens, pre_tokenizer::split_words};
use std::collections::{BTreeMap, BTreeSet};

/// Vocabulary: the bytes of every token and the special tokens. Objectives, packing and text infilling need no more of
/// a tokenizer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vocabulary {
    /// Bytes of each token by id; `None` for special tokens and unused ids.
    pub(super) token_bytes: Vec<Option<Vec<u8>>>,
    pub(super) special_tokens: SpecialTokens,
    pub(super) ordinary_ids: Vec<u32>,
    /// Number of tokens that the model has a row for.
    pub(super) model_rows: usize,
    /// Names of the special tokens that the tokenizer recognizes in a text.
    pub(super) written_names: BTreeMap<u32, Vec<u8>>,
}

impl Vocabulary {
    pub(super) fn new(token_bytes: Vec<Option<Vec<u8>>>, special_tokens: SpecialTokens) -> Self {
        let ordinary_ids = token_bytes.iter().zip(0..).filter(|(bytes, _)| bytes.is_some()).map(|(_, id)| id).collect();
        let model_rows = token_bytes.len();
        Self { token_bytes, special_tokens, ordinary_ids, model_rows, written_names: BTreeMap::new() }
    }

    /// The vocabulary of a tokenizer that recognizes special tokens in a text by their names, given by id.
    pub(super) fn with_written_names(self, names: &[Option<String>]) -> Self {
        let names = names.iter().zip(0..).filter(|(_, id)| self.is_special(*id));
        let written_names = names.filter_map(|(name, id)| Some((id, name.clone()?.into_bytes()))).collect();
        Self { written_names, ..self }
    }

    /// Number of tokens, special ones included. All ids are below it.
    pub fn size(&self) -> usize {
        self.token_bytes.len()
    }

    /// Ids of the special tokens.
    pub fn special_tokens(&self) -> &SpecialTokens {
        &self.special_tokens
    }

    /// Ids of the tokens that stand for text, in ascending order. Never empty.
    pub fn ordinary_ids(&self) -> &[u32] {
        &self.ordinary_ids
    }

    /// Whether a token is special or its id unused: it stands for no text. `false` for ids outside the vocabulary.
    pub fn is_special(&self, id: u32) -> bool {
        self.token_bytes.get(id as usize).is_some_and(Option::is_none)
    }

    /// The bytes that a token stands for; empty for a special token and for an id outside the vocabulary.
    pub fn token_bytes(&self, id: u32) -> &[u8] {
        self.token_bytes.get(id as usize).and_then(Option::as_deref).unwrap_or_default()
    }

    /// The bytes by which a token is written in a text: those of [`token_bytes`](Self::token_bytes), or the name of a special
    /// token if the tokenizer recognizes that name in a text.
    pub fn written_bytes(&self, id: u32) -> &[u8] {
        self.written_names.get(&id).map_or_else(|| self.token_bytes(id), Vec::as_slice)
    }

    /// Offset of the first occurrence of `text` in the [written bytes](Self::written_bytes) of `tokens`; `None` if there is
    /// none.
    pub fn find_text(&self, text: &[u8], tokens: &[u32]) -> Option<usize> {
        let bytes: Vec<u8> = tokens.iter().flat_map(|id| self.written_bytes(*id)).copied().collect();
        memchr::memmem::find(&bytes, text)
    }

    /// Whether some token begins with a space and a letter (` the`), as those of BPE vocabularies do. Infilled words
    /// then carry their space.
    pub fn has_leading_spaces(&self) -> bool {
        self.token_bytes
            .iter()
            .flatten()
            .any(|bytes| bytes.len() > 1 && bytes[0] == b' ' && bytes[1].is_ascii_alphabetic())
    }

    /// For each token, whether a word begins with it. Words are those of GPT-2's pre-tokenizer: letters, digits or
    /// other characters, each with one space before them. A special token is a word of its own; a byte that is not part
    /// of a valid character counts as another character.
    pub fn word_starts(&self, tokens: &[u32]) -> Vec<bool> {
        let mut starts = Vec::with_capacity(tokens.len());
        for run in tokens.chunk_by(|a, b| self.is_special(*a) == self.is_special(*b)) {
            if self.is_special(run[0]) {
                starts.resize(starts.len() + run.len(), true);
                continue;
            }
            let bytes: Vec<u8> = run.iter().flat_map(|id| self.token_bytes(*id)).copied().collect();
            let word_offsets = word_offsets(&same_length_text(&bytes));
            let mut offset = 0;
            for id in run {
                starts.push(word_offsets.contains(&offset));
                offset += self.token_bytes(*id).len();
            }
        }
        starts
    }
}

/// Offset of the first byte of each word.
fn word_offsets(text: &str) -> BTreeSet<usize> {
    let mut end = 0;
    let mut offsets = BTreeSet::new();
    for word in split_words(text) {
        offsets.insert(end);
        end += word.len();
    }
    offsets
}

/// The bytes as text of the same length: each byte that is not part of a valid character becomes U+001A.
fn same_length_text(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        chunk.invalid().iter().for_each(|_| text.push('\u{1A}'));
    }
    text
}
