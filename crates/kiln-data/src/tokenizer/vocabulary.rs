//! What objectives and fillers of blanks need to know of a tokenizer: its tokens as bytes, and where words begin.

use super::{SpecialTokens, pre_tokenizer::split_words};
use std::collections::BTreeSet;

/// The tokens of a tokenizer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vocabulary {
    pub(super) token_bytes: Vec<Option<Vec<u8>>>,
    pub(super) special_tokens: SpecialTokens,
    ordinary_ids: Vec<u32>,
}

impl Vocabulary {
    pub(super) fn new(pieces: Vec<Option<Vec<u8>>>, specials: SpecialTokens) -> Self {
        let ordinary = pieces.iter().zip(0..).filter(|(piece, _)| piece.is_some()).map(|(_, id)| id).collect();
        Self { token_bytes: pieces, special_tokens: specials, ordinary_ids: ordinary }
    }

    /// Number of tokens, special ones included: ids are below it.
    pub fn size(&self) -> usize {
        self.token_bytes.len()
    }

    /// Ids of the special tokens.
    pub fn special_tokens(&self) -> &SpecialTokens {
        &self.special_tokens
    }

    /// Ids that stand for text, in order. Never empty: every byte is a token.
    pub fn ordinary_ids(&self) -> &[u32] {
        &self.ordinary_ids
    }

    /// Whether an id stands for no text.
    pub fn is_special(&self, id: u32) -> bool {
        self.token_bytes.get(id as usize).is_some_and(Option::is_none)
    }

    /// The bytes that a token stands for; none for a special one, or one that isn't there.
    pub fn token_bytes(&self, id: u32) -> &[u8] {
        self.token_bytes.get(id as usize).and_then(Option::as_deref).unwrap_or_default()
    }

    /// Whether tokens carry the space before their word, as those of a learned vocabulary do.
    pub fn has_leading_spaces(&self) -> bool {
        self.token_bytes
            .iter()
            .flatten()
            .any(|piece| piece.len() > 1 && piece[0] == b' ' && piece[1].is_ascii_alphabetic())
    }

    /// Of each token whether a word begins with it; a special token is a word of its own. Words are those that no
    /// learned token crosses: letters, digits or signs, each with the space before them.
    pub fn word_starts(&self, tokens: &[u32]) -> Vec<bool> {
        let mut starts = Vec::with_capacity(tokens.len());
        for run in tokens.chunk_by(|a, b| self.is_special(*a) == self.is_special(*b)) {
            if self.is_special(run[0]) {
                starts.resize(starts.len() + run.len(), true);
                continue;
            }
            let text = same_length_text(&run.iter().flat_map(|id| self.token_bytes(*id)).copied().collect::<Vec<_>>());
            let mut end = 0;
            let begin = |word: &str| {
                end += word.len();
                end - word.len()
            };
            let begins: BTreeSet<usize> = split_words(&text).map(begin).collect();
            let mut at = 0;
            starts.extend(run.iter().map(|id| {
                at += self.token_bytes(*id).len();
                begins.contains(&(at - self.token_bytes(*id).len()))
            }));
        }
        starts
    }
}

/// The bytes as text of the same length: a byte that belongs to no character becomes a sign.
fn same_length_text(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        chunk.invalid().iter().for_each(|_| text.push('\u{1A}'));
    }
    text
}
