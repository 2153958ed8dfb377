//! Conversion of other tokenizer formats to a `tokenizer.json`, and of a `tokenizer.json` to GGUF metadata.
//!
//! | format | algorithm | function |
//! |---|---|---|
//! | SentencePiece `.model` (protobuf) | BPE or Unigram | [`parse_sentencepiece`], then [`GgufTokenizer::to_tokenizer`] |
//! | `vocab.txt` | WordPiece | [`from_vocab_txt`] |
//! | `vocab.json`, `merges.txt` | byte-level BPE | [`parse_merges_txt`], [`pretrained`](super::pretrained) |
//! | GGUF metadata (`tokenizer.ggml.*`) | any of these | [`GgufTokenizer::to_tokenizer`], [`GgufTokenizer::from_tokenizer`] |
//!
//! The modules `byte_level`, `wordpiece` and `sentencepiece` have one algorithm each, in both directions. This file
//! builds the sections of a `tokenizer.json` that they share.

mod byte_level;
mod gguf;
mod gguf_rows;
mod pre_tokenizers;
mod sentencepiece;
mod sentencepiece_model;
#[cfg(test)]
mod tests;
mod to_gguf;
mod wordpiece;

use super::{Tokenizer, roles};
use crate::DataError;
pub use byte_level::parse_merges_txt;
pub use gguf::GgufTokenizer;
pub(crate) use gguf::token_type;
pub(crate) use pre_tokenizers::QWEN2_REGEX;
pub use sentencepiece_model::parse_sentencepiece;
use serde_json::{Map, Value, json};
pub use wordpiece::from_vocab_txt;
pub(crate) use wordpiece::parse_vocab_txt;

/// SentencePiece's mark of a space, `▁` (U+2581).
pub(crate) const METASPACE: &str = "\u{2581}";

/// Loads a converted `tokenizer.json` after writing the roles of its tokens into it; `names` are pairs of role and
/// token name.
fn build_tokenizer(mut json: Value, names: &[(&str, String)]) -> Result<Tokenizer, DataError> {
    roles::write_roles(&mut json, names);
    Tokenizer::from_json(&serde_json::to_string(&json).map_err(DataError::tokenizer)?)
}

/// A `tokenizer.json` of its sections, without added tokens and post-processor.
fn tokenizer_json(model: Value, normalizer: Value, pre_tokenizer: Value, decoder: Value) -> Value {
    json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": normalizer,
        "pre_tokenizer": pre_tokenizer, "post_processor": null, "decoder": decoder, "model": model,
    })
}

/// An item of `added_tokens`. Without `special`, the name is matched in text and kept by decoding.
fn added_token(id: u32, content: &str, special: bool) -> Value {
    json!({
        "id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false,
        "special": special,
    })
}

/// A `Sequence` of parts under the key `list`; a single part stands for itself, and no part is null.
pub(crate) fn sequence(list: &str, mut parts: Vec<Value>) -> Value {
    match parts.len() {
        0 => Value::Null,
        1 => parts.remove(0),
        _ => json!({ "type": "Sequence", list: parts }),
    }
}

/// The items of a `Sequence` under the key `list`; a part of another type is its only item, and null has none.
pub(crate) fn list_parts(part: &Value, list: &str) -> Vec<Value> {
    match part[list].as_array() {
        Some(parts) => parts.clone(),
        None if part.is_null() => Vec::new(),
        None => vec![part.clone()],
    }
}

/// A pre-tokenizer that makes each match of a regular expression a word of its own.
pub(crate) fn isolated_split(pattern: &str) -> Value {
    json!({ "type": "Split", "pattern": { "Regex": pattern }, "behavior": "Isolated", "invert": false })
}

/// Sets a `TemplateProcessing` as `post_processor`, which adds `first` before and `last` behind each text; both are
/// pairs of name and id. In a pair of texts, the second text gets a `first` only if there is no `last` between them.
fn add_template_processing(json: &mut Value, first: Option<(String, u32)>, last: Option<(String, u32)>) {
    if first.is_none() && last.is_none() {
        return;
    }
    let names = first.iter().chain(&last);
    let special_tokens: Map<String, Value> =
        names.map(|(name, id)| (name.clone(), json!({ "id": name, "ids": [id], "tokens": [name] }))).collect();
    let second_first = first.as_ref().filter(|_| last.is_none());
    let single = template("A", 0, first.as_ref(), last.as_ref());
    let pair = [single.clone(), template("B", 1, second_first, last.as_ref())].concat();
    json["post_processor"] = json!({
        "type": "TemplateProcessing", "single": single, "pair": pair, "special_tokens": special_tokens,
    });
}

/// Template of one text: an optional special token, the text, an optional special token, all with one type id.
fn template(text: &str, type_id: u32, first: Option<&(String, u32)>, last: Option<&(String, u32)>) -> Vec<Value> {
    let mut pieces = Vec::with_capacity(3);
    pieces.extend(first.map(|(name, _)| json!({ "SpecialToken": { "id": name, "type_id": type_id } })));
    pieces.push(json!({ "Sequence": { "id": text, "type_id": type_id } }));
    pieces.extend(last.map(|(name, _)| json!({ "SpecialToken": { "id": name, "type_id": type_id } })));
    pieces
}

/// [`add_template_processing`] of tokens by their names; names that `model.vocab` lacks are left out.
pub(crate) fn add_template_by_names(file: &mut Value, names: [&str; 2]) {
    let [first, last] = names.map(|name| Some((name.to_string(), u32::try_from(roles::vocab_id(file, name)?).ok()?)));
    add_template_processing(file, first, last);
}
