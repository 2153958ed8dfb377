//! The `tokenizer.json` of a tokenizer trained by Kiln: parsed strictly and checked, so that encoding cannot fail.
//!
//! [`merge_pair`] and [`check_merges`] also serve other people's files.

use super::{
    SpecialTokens,
    byte_encoding::{from_byte_fallback, from_byte_level, to_byte_fallback, to_byte_level},
};
use crate::DataError;
use serde::Deserialize;
use serde_json::Value;
use std::collections::HashMap;

/// The sections of the file that determine the tokens.
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
    merges: Vec<Value>,
}

/// The two tokens of an item of `model.merges`: `["a", "b"]`, or `"a b"` in files of older versions. `None` for
/// anything else.
pub(crate) fn merge_pair(merge: &Value) -> Option<(&str, &str)> {
    match merge {
        Value::String(pair) => pair.split_once(' '),
        Value::Array(pair) => match &pair[..] {
            [left, right] => left.as_str().zip(right.as_str()),
            _ => None,
        },
        _ => None,
    }
}

/// Checks that every merge joins two tokens of the vocabulary into a third; `prefix` is the
/// `continuing_subword_prefix`, which the second token loses. The `tokenizers` library panics at other merges.
///
/// # Errors
/// [`DataError::Tokenizer`] with the first merge for which this is not so.
pub(crate) fn check_merges(merges: &[Value], prefix: &str, is_token: impl Fn(&str) -> bool) -> Result<(), DataError> {
    for merge in merges {
        let Some((left, right)) = merge_pair(merge) else {
            return Err(DataError::tokenizer(format!("`model.merges`: expected two tokens, found {merge}")));
        };
        let joined = right.get(prefix.len()..).map(|rest| format!("{left}{rest}"));
        if !(is_token(left) && is_token(right) && joined.is_some_and(|token| is_token(&token))) {
            let reason = format!(
                "`model.merges` has {left:?} and {right:?}, but one of them or the merged token is not in `model.vocab`"
            );
            return Err(DataError::tokenizer(reason));
        }
    }
    Ok(())
}

/// Kind of a tokenizer trained by Kiln.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum VocabularyKind {
    Byte,
    Character,
    Bpe,
}

/// Names that only files written by Kiln contain.
const KILN_MARKERS: [&str; 2] = ["\"<sequence-to-sequence>\"", "\"<sentinel_31>\""];

impl TokenizerJson {
    /// Whether Kiln wrote this file. Such files are parsed by this module, others by the `tokenizers` library.
    pub(crate) fn is_kiln_trained(json: &str) -> bool {
        KILN_MARKERS.iter().all(|marker| json.contains(marker))
    }

    /// Parses a file and checks its ids and merges.
    ///
    /// # Errors
    /// [`DataError::Tokenizer`] for invalid JSON, ids with gaps or duplicates, or merges without a result.
    pub(crate) fn parse(json: &str) -> Result<Self, DataError> {
        let file: Self = serde_json::from_str(json).map_err(DataError::tokenizer)?;
        file.check_ids()?;
        check_merges(&file.model.merges, "", |token| file.model.vocab.contains_key(token))?;
        Ok(file)
    }

    /// The kind of the tokenizer.
    ///
    /// # Errors
    /// [`DataError::Tokenizer`] for a combination of settings that Kiln never writes.
    pub(crate) fn kind(&self) -> Result<VocabularyKind, DataError> {
        let model = &self.model;
        let plain = model.dropout.is_none()
            && model.continuing_subword_prefix.is_none()
            && model.end_of_word_suffix.is_none()
            && !model.ignore_merges
            && self.normalizer.is_none();
        let pre_tokenizer = self.pre_tokenizer.as_ref().map(|p| (p.kind.as_str(), p.add_prefix_space, p.use_regex));
        match (model.kind.as_str(), plain, pre_tokenizer, model.byte_fallback, model.merges.is_empty()) {
            ("BPE", true, Some(("ByteLevel", false, false)), false, true) => Ok(VocabularyKind::Byte),
            ("BPE", true, Some(("ByteLevel", false, true)), false, _) => Ok(VocabularyKind::Bpe),
            ("BPE", true, None, true, true) => Ok(VocabularyKind::Character),
            _ => Err(DataError::tokenizer(
                "the file has the special tokens of Kiln, but not the settings of Kiln's tokenizers",
            )),
        }
    }

    /// Ids of the special tokens, found by their names among the added tokens.
    pub(crate) fn special_tokens(&self) -> Result<SpecialTokens, DataError> {
        let ids: HashMap<&str, u32> = self.added_tokens.iter().map(|t| (t.content.as_str(), t.id)).collect();
        SpecialTokens::from_names(|name| ids.get(name).copied())
    }

    /// Bytes of each token by id; `None` for special tokens.
    ///
    /// # Errors
    /// [`DataError::Tokenizer`] for a token that is not special and has characters outside the byte-level alphabet.
    pub(crate) fn token_bytes(&self, kind: VocabularyKind) -> Result<Vec<Option<Vec<u8>>>, DataError> {
        let mut token_bytes = vec![None; self.model.vocab.len()];
        for (token, id) in &self.model.vocab {
            token_bytes[*id as usize] = match kind {
                VocabularyKind::Byte | VocabularyKind::Bpe => from_byte_level(token),
                VocabularyKind::Character => {
                    Some(from_byte_fallback(token).map_or_else(|| token.clone().into_bytes(), |byte| vec![byte]))
                }
            };
        }
        for added in &self.added_tokens {
            token_bytes[added.id as usize] = None;
        }
        match token_bytes.iter().zip(0..).find(|(bytes, id)| bytes.is_none() && !self.is_special(*id)) {
            None => Ok(token_bytes),
            Some((_, id)) => {
                let reason = format!("`model.vocab`: token {id} has characters that stand for no byte");
                Err(DataError::tokenizer(reason))
            }
        }
    }

    /// The id of each byte.
    ///
    /// # Errors
    /// [`DataError::Tokenizer`] if a byte is not a token.
    pub(crate) fn byte_ids(&self, kind: VocabularyKind) -> Result<Vec<u32>, DataError> {
        let mut ids = Vec::with_capacity(256);
        for byte in 0..=255 {
            let name = if kind == VocabularyKind::Character { to_byte_fallback(byte) } else { to_byte_level(&[byte]) };
            match self.model.vocab.get(&name) {
                Some(id) => ids.push(*id),
                None => {
                    let reason = format!("`model.vocab`: the byte {byte} has no token {name:?}");
                    return Err(DataError::tokenizer(reason));
                }
            }
        }
        Ok(ids)
    }

    /// The id of each token that is a single character.
    pub(crate) fn character_ids(&self) -> HashMap<char, u32> {
        self.model.vocab.iter().filter_map(|(token, id)| Some((single_character(token)?, *id))).collect()
    }

    fn is_special(&self, id: u32) -> bool {
        self.added_tokens.iter().any(|token| token.id == id)
    }

    /// Checks that the ids are 0, 1, 2, … without gaps, and that the added tokens are special tokens of the vocabulary.
    fn check_ids(&self) -> Result<(), DataError> {
        let vocab = &self.model.vocab;
        let mut taken = vec![false; vocab.len()];
        for (token, id) in vocab {
            match taken.get_mut(*id as usize) {
                Some(taken) if !*taken => *taken = true,
                Some(_) => {
                    let reason = format!("`model.vocab`: two tokens have the id {id}, one is {token:?}");
                    return Err(DataError::tokenizer(reason));
                }
                None => {
                    let max = vocab.len() - 1;
                    let reason = format!("`model.vocab`: token {token:?} has the id {id}, expected at most {max}");
                    return Err(DataError::tokenizer(reason));
                }
            }
        }
        match self.added_tokens.iter().find(|t| !t.special || vocab.get(&t.content) != Some(&t.id)) {
            None => Ok(()),
            Some(token) => {
                let reason = format!("`added_tokens`: {:?} is not a special token of `model.vocab`", token.content);
                Err(DataError::tokenizer(reason))
            }
        }
    }
}

/// The only character of a token; `None` if it has several.
fn single_character(token: &str) -> Option<char> {
    token.chars().next().filter(|c| c.len_utf8() == token.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn merges_are_pairs_or_text_with_a_space() {
        let merges =
            [json!(["a b", "c"]), json!("a b"), json!("ab"), json!(["a"]), json!(["a", "b", "c"]), json!(["a", 1])];
        let pairs = merges.each_ref().map(merge_pair);
        assert_eq!(pairs, [Some(("a b", "c")), Some(("a", "b")), None, None, None, None]);
    }

    #[test]
    fn merges_lose_the_prefix_of_the_second_token() {
        let vocab = ["a", "##b", "ab"];
        assert!(check_merges(&[json!(["a", "##b"])], "##", |token| vocab.contains(&token)).is_ok());
        for (merge, prefix) in [(json!(["a", "##b"]), ""), (json!(["a", "c"]), "##"), (json!("a"), "##")] {
            assert!(check_merges(&[merge], prefix, |token| vocab.contains(&token)).is_err());
        }
    }
}
