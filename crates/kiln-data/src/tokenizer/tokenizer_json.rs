//! Reading a `tokenizer.json`: everything is checked before it is used.

use super::{
    SpecialTokens,
    byte_encoding::{from_byte_fallback, from_byte_level, to_byte_fallback, to_byte_level},
    train::tokenizer_error,
};
use crate::DataError;
use serde::Deserialize;
use serde_json::Value;
use std::collections::HashMap;

/// The parts of the file that decide about tokens.
#[derive(Deserialize)]
pub(crate) struct TokenizerJson {
    added_tokens: Vec<AddedToken>,
    normalizer: Option<Value>,
    pre_tokenizer: Option<PreTokenizer>,
    model: Model,
}

#[derive(Deserialize)]
struct AddedToken {
    id: u32,
    content: String,
    special: bool,
}

#[derive(Deserialize)]
struct PreTokenizer {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    add_prefix_space: bool,
    #[serde(default)]
    use_regex: bool,
}

#[derive(Deserialize)]
struct Model {
    #[serde(rename = "type")]
    kind: String,
    dropout: Option<f64>,
    continuing_subword_prefix: Option<String>,
    end_of_word_suffix: Option<String>,
    #[serde(default)]
    byte_fallback: bool,
    #[serde(default)]
    ignore_merges: bool,
    vocab: HashMap<String, u32>,
    merges: Vec<Merge>,
}

/// Two tokens that become one: as a pair, or with a space between, as files were written before.
#[derive(Deserialize)]
#[serde(untagged)]
enum Merge {
    Tuple(String, String),
    SpaceSeparated(String),
}

impl Merge {
    fn pair(&self) -> (&str, &str) {
        match self {
            Self::Tuple(left, right) => (left, right),
            Self::SpaceSeparated(text) => text.split_once(' ').unwrap_or((text, "")),
        }
    }
}

/// What a token is, as far as the file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum VocabularyKind {
    Byte,
    Character,
    Bpe,
}

/// What only Kiln's own files have.
const KILN_MARKERS: [&str; 2] = ["\"<sequence-to-sequence>\"", "\"<sentinel_31>\""];

impl TokenizerJson {
    /// Whether Kiln wrote this file: then it is held to what Kiln's tokenizers promise.
    pub(crate) fn is_kiln_trained(json: &str) -> bool {
        KILN_MARKERS.iter().all(|mark| json.contains(mark))
    }

    pub(crate) fn parse(json: &str) -> Result<Self, DataError> {
        let saved: Self = serde_json::from_str(json).map_err(tokenizer_error)?;
        saved.check_ids()?;
        saved.check_merges()?;
        Ok(saved)
    }

    /// Which of Kiln's tokenizers this is.
    pub(crate) fn kind(&self) -> Result<VocabularyKind, DataError> {
        let model = &self.model;
        let plain = model.dropout.is_none()
            && model.continuing_subword_prefix.is_none()
            && model.end_of_word_suffix.is_none()
            && !model.ignore_merges
            && self.normalizer.is_none();
        let words = self.pre_tokenizer.as_ref().map(|p| (p.kind.as_str(), p.add_prefix_space, p.use_regex));
        match (model.kind.as_str(), plain, words, model.byte_fallback, model.merges.is_empty()) {
            ("BPE", true, Some(("ByteLevel", false, false)), false, true) => Ok(VocabularyKind::Byte),
            ("BPE", true, Some(("ByteLevel", false, true)), false, _) => Ok(VocabularyKind::Bpe),
            ("BPE", true, None, true, true) => Ok(VocabularyKind::Character),
            _ => Err(tokenizer_error("not a byte, character or byte-level BPE tokenizer as Kiln trains them")),
        }
    }

    pub(crate) fn special_tokens(&self) -> Result<SpecialTokens, DataError> {
        let known: HashMap<&str, u32> = self.added_tokens.iter().map(|t| (t.content.as_str(), t.id)).collect();
        SpecialTokens::from_names(|name| known.get(name).copied())
    }

    /// The bytes that each id stands for; `None` for special tokens.
    pub(crate) fn token_bytes(&self, kind: VocabularyKind) -> Result<Vec<Option<Vec<u8>>>, DataError> {
        let mut pieces = vec![None; self.model.vocab.len()];
        for (token, id) in &self.model.vocab {
            pieces[*id as usize] = match kind {
                VocabularyKind::Byte | VocabularyKind::Bpe => from_byte_level(token),
                VocabularyKind::Character => {
                    Some(from_byte_fallback(token).map_or_else(|| token.clone().into_bytes(), |b| vec![b]))
                }
            };
        }
        for added in &self.added_tokens {
            pieces[added.id as usize] = None;
        }
        let odd = pieces.iter().zip(0..).find(|(piece, id)| piece.is_none() && !self.is_special(*id));
        odd.map_or(Ok(()), |(_, id)| Err(tokenizer_error(format!("token {id} is not spelt in bytes"))))?;
        Ok(pieces)
    }

    /// The id of each byte.
    pub(crate) fn byte_ids(&self, kind: VocabularyKind) -> Result<Vec<u32>, DataError> {
        let name =
            |byte: u8| if kind == VocabularyKind::Character { to_byte_fallback(byte) } else { to_byte_level(&[byte]) };
        let id = |byte: u8| self.model.vocab.get(&name(byte)).copied();
        (0..=255).map(|byte| id(byte).ok_or_else(|| tokenizer_error(format!("no token for the byte {byte}")))).collect()
    }

    /// The id of each token that is one character.
    pub(crate) fn character_ids(&self) -> HashMap<char, u32> {
        let alone = |token: &str| token.chars().next().filter(|c| c.len_utf8() == token.len());
        self.model.vocab.iter().filter_map(|(token, id)| Some((alone(token)?, *id))).collect()
    }

    fn is_special(&self, id: u32) -> bool {
        self.added_tokens.iter().any(|token| token.id == id)
    }

    fn check_ids(&self) -> Result<(), DataError> {
        let vocab = &self.model.vocab;
        let mut taken = vec![false; vocab.len()];
        for (token, id) in vocab {
            match taken.get_mut(*id as usize) {
                Some(taken) if !*taken => *taken = true,
                Some(_) => return Err(tokenizer_error(format!("two tokens have the id {id}, one is {token:?}"))),
                None => {
                    return Err(tokenizer_error(format!(
                        "token {token:?} has the id {id} among {} tokens",
                        vocab.len()
                    )));
                }
            }
        }
        let stray = self.added_tokens.iter().find(|t| !t.special || vocab.get(&t.content) != Some(&t.id));
        stray.map_or(Ok(()), |t| {
            Err(tokenizer_error(format!("added token {:?} is not a special one of the vocabulary", t.content)))
        })
    }

    /// The `tokenizers` crate panics over a merge whose result is no token.
    fn check_merges(&self) -> Result<(), DataError> {
        let known = |token: &str| self.model.vocab.contains_key(token);
        let mut merges = self.model.merges.iter().map(Merge::pair);
        let wrong = merges.find(|(l, r)| !(known(l) && known(r) && known(&format!("{l}{r}"))));
        wrong.map_or(Ok(()), |(left, right)| {
            Err(tokenizer_error(format!("the merge of {left:?} and {right:?} makes no known token")))
        })
    }
}
