//! [`Vocabulary`]: tokens and merges of a folder, from whichever file has them, for a class that brings the rest.

use super::{
    class::{ModelKind, TokenizerClass},
    settings::Settings,
};
use crate::{
    DataError,
    tokenizer::{GgufTokenizer, charsmap, convert::list_parts, tokenizer_json::merge_pair},
};
use serde_json::{Map, Value, json};
use std::collections::HashMap;

/// Tokens of a vocabulary.
pub(super) enum Entries {
    /// Ids by token.
    WordPiece(Map<String, Value>),
    /// Ids by token, and the merges in order.
    Bpe(Map<String, Value>, Vec<Value>),
    /// Pairs of piece and score, by id.
    Unigram(Vec<Value>),
}

/// Tokens of a vocabulary with SentencePiece's normalization table.
pub(super) struct Vocabulary {
    pub entries: Entries,
    pub charsmap: Vec<u8>,
}

impl Vocabulary {
    /// Takes tokens and merges out of a `tokenizer.json` of this kind.
    pub fn from_tokenizer_json(file: &mut Value, kind: ModelKind) -> Result<Self, DataError> {
        let parts = list_parts(&file["normalizer"], "normalizers");
        let table = parts.iter().find_map(|part| part["precompiled_charsmap"].as_str());
        let charsmap = table.map(charsmap::decode_base64).transpose()?.unwrap_or_default();
        let model = &mut file["model"];
        let entries = match (model["vocab"].take(), kind) {
            (Value::Array(pieces), ModelKind::Unigram) => Entries::Unigram(pieces),
            (Value::Object(vocab), ModelKind::Bpe) => {
                let merges = match model["merges"].take() {
                    Value::Array(merges) => merges,
                    _ => return Err(DataError::tokenizer("`model.merges`: expected a list of merges")),
                };
                let pairs = merges.iter().map(|merge| merge_pair(merge).map(|(left, right)| json!([left, right])));
                let pairs = pairs.collect::<Option<_>>();
                let invalid = || DataError::tokenizer("`model.merges`: expected pairs of tokens");
                Entries::Bpe(vocab, pairs.ok_or_else(invalid)?)
            }
            (Value::Object(vocab), _) => Entries::WordPiece(vocab),
            _ => return Err(DataError::tokenizer("`model.vocab`: expected the tokens and their ids")),
        };
        Ok(Self { entries, charsmap })
    }

    /// Tokens of a SentencePiece model for a class, with the tokens that the class puts before and behind the pieces.
    pub fn from_sentencepiece(
        model: &GgufTokenizer,
        class: TokenizerClass,
        settings: &Settings,
    ) -> Result<Self, DataError> {
        let charsmap = model.precompiled_charsmap.clone();
        if class.model_kind() == Some(ModelKind::Bpe) {
            let vocab: Map<String, Value> =
                model.tokens.iter().zip(0u32..).map(|(token, id)| (token.clone(), id.into())).collect();
            let entries = Entries::Bpe(vocab, merges_by_id(&model.tokens));
            return Ok(Self { entries, charsmap });
        }
        let pieces = model.tokens.iter().zip(&model.scores).map(|(piece, score)| json!([piece, score])).collect();
        let entries = Entries::Unigram(arrange_pieces(pieces, class, settings)?);
        Ok(Self { entries, charsmap })
    }
}

/// The pieces in the order of a class: XLM-R and CamemBERT begin with other special tokens than SentencePiece, and T5
/// ends with its sentinels.
fn arrange_pieces(pieces: Vec<Value>, class: TokenizerClass, settings: &Settings) -> Result<Vec<Value>, DataError> {
    let name = |role: &str, default: &str| -> Result<String, DataError> {
        let token = settings.role_token(role)?.flatten();
        Ok(token.map_or_else(|| default.to_string(), |token| token.content().to_string()))
    };
    let piece = |name: &str, score: f64| json!([name, score]);
    Ok(match class {
        TokenizerClass::XlmRoberta => {
            let first = [("bos", "<s>"), ("pad", "<pad>"), ("eos", "</s>"), ("unk", "<unk>")];
            let mut arranged = Vec::with_capacity(pieces.len() + 2);
            for (role, default) in first {
                arranged.push(piece(&name(role, default)?, 0.0));
            }
            arranged.extend(pieces.into_iter().skip(3));
            arranged.push(piece(&name("mask", "<mask>")?, 0.0));
            arranged
        }
        TokenizerClass::Camembert => {
            let [pad, unk, mask] = [name("pad", "<pad>")?, name("unk", "<unk>")?, name("mask", "<mask>")?];
            let unused = ["<s>NOTUSED", "</s>NOTUSED", "<unk>NOTUSED"];
            let mut arranged = vec![piece(unused[0], 0.0), piece(&pad, 0.0), piece(unused[1], 0.0), piece(&unk, 0.0)];
            arranged.push(piece(unused[2], -100.0));
            arranged.extend(pieces.into_iter().skip(1));
            arranged.push(piece(&mask, 0.0));
            arranged
        }
        TokenizerClass::T5 => {
            let sentinels = (0..num_sentinels(settings)?).rev().map(|i| piece(&sentinel(i), 0.0));
            pieces.into_iter().chain(sentinels).collect()
        }
        _ => pieces,
    })
}

/// Largest number of sentinels: more would be a corrupt file, and each is a token of the vocabulary.
const MAX_SENTINELS: u64 = 1 << 12;

/// Number of sentinels of T5's class, `extra_ids`.
///
/// # Errors
/// If there are more than 4096.
pub(super) fn num_sentinels(settings: &Settings) -> Result<u64, DataError> {
    match settings.number("extra_ids").unwrap_or(100) {
        count if count <= MAX_SENTINELS => Ok(count),
        count => Err(DataError::tokenizer(format!(
            "tokenizer_config.json: extra_ids: expected at most {MAX_SENTINELS} sentinels, found {count}"
        ))),
    }
}

/// Name of a sentinel of T5.
pub(super) fn sentinel(index: u64) -> String {
    format!("<extra_id_{index}>")
}

/// Merges of a BPE vocabulary by the ids of their results: every split of a token into two tokens, shorter left parts
/// first.
fn merges_by_id(tokens: &[String]) -> Vec<Value> {
    let ids: HashMap<&str, usize> = tokens.iter().map(String::as_str).zip(0..).collect();
    let mut merges = Vec::new();
    // Of several tokens with one name, the last has the id.
    for (_, token) in tokens.iter().enumerate().filter(|(id, token)| ids[token.as_str()] == *id) {
        let splits = token.char_indices().skip(1).map(|(at, _)| token.split_at(at));
        let known = splits.filter(|(left, right)| ids.contains_key(left) && ids.contains_key(right));
        merges.extend(known.map(|(left, right)| json!([left, right])));
    }
    merges
}
