//! The `tokenizer.json` of a SentencePiece model without a class of its own: it follows the model's own settings.

use super::{
    sections::{metaspace, sentencepiece_decoder},
    settings::Settings,
};
use crate::{
    DataError,
    tokenizer::{
        GgufTokenizer, charsmap,
        convert::{METASPACE, isolated_split, sequence, token_type},
    },
};
use serde_json::{Map, Value, json};
use std::collections::{HashMap, HashSet};

/// Builds the `tokenizer.json`. Added tokens whose ids the model has rename its pieces, as fine-tuned models do with
/// unused ones.
///
/// # Errors
/// [`DataError::Tokenizer`] if the model has no unknown token.
pub(super) fn build(model: &GgufTokenizer, settings: &Settings) -> Result<Value, DataError> {
    let missing = || DataError::tokenizer("the SentencePiece model has no unknown token: no piece has the type 2");
    let unknown_id = model.roles.unk.ok_or_else(missing)? as usize;
    let byte_fallback = model.token_types.contains(&token_type::BYTE);
    let is_bpe = model.model == "llama";
    let names = if is_bpe { renamed(model, settings) } else { model.tokens.clone() };
    let user_defined = pieces_of_type(model, token_type::USER_DEFINED).map(|id| names[id].as_str());
    let user_defined: Vec<&str> = user_defined.collect();
    let section = if is_bpe {
        let vocab: Map<String, Value> = names.iter().zip(0u32..).map(|(name, id)| (name.clone(), id.into())).collect();
        json!({
            "type": "BPE", "dropout": null, "unk_token": model.tokens[unknown_id], "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": true, "byte_fallback": byte_fallback,
            "ignore_merges": !user_defined.is_empty(), "vocab": vocab, "merges": merges_by_score(model, &names),
        })
    } else {
        let pieces: Vec<Value> = names.iter().zip(&model.scores).map(|(name, score)| json!([name, score])).collect();
        json!({ "type": "Unigram", "unk_id": unknown_id, "byte_fallback": byte_fallback, "vocab": pieces })
    };
    let add_space = model.add_space_prefix != Some(false);
    let is_legacy = settings.flag("legacy").unwrap_or(true);
    let mut pre_tokenizers = Vec::new();
    pre_tokenizers.extend(add_space.then(|| metaspace(if is_legacy { "always" } else { "first" }, false)));
    pre_tokenizers.extend(split_at(&user_defined));
    Ok(json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [],
        "normalizer": normalizer(model, add_space && is_legacy),
        "pre_tokenizer": sequence("pretokenizers", pre_tokenizers), "post_processor": null,
        "decoder": sentencepiece_decoder(byte_fallback, byte_fallback || add_space, add_space), "model": section,
    }))
}

/// Ids of the pieces of a type.
pub(super) fn pieces_of_type(model: &GgufTokenizer, wanted: i32) -> impl Iterator<Item = usize> {
    model.token_types.iter().enumerate().filter(move |(_, kind)| **kind == wanted).map(|(id, _)| id)
}

/// Names of the pieces, with the names of the added tokens of the same ids. A name that another piece keeps is not
/// given twice.
fn renamed(model: &GgufTokenizer, settings: &Settings) -> Vec<String> {
    let new_name = |id: usize| settings.added.get(&(id as u64)).map(|token| token.content.as_str());
    let kept = model.tokens.iter().enumerate().filter(|(id, _)| new_name(*id).is_none());
    let kept: HashSet<&str> = kept.map(|(_, token)| token.as_str()).collect();
    let mut names = Vec::with_capacity(model.tokens.len());
    for (id, token) in model.tokens.iter().enumerate() {
        names.push(new_name(id).filter(|name| !kept.contains(name)).unwrap_or(token).to_string());
    }
    names
}

/// Merges of the normal pieces by the score of their results, the highest first, then by id and left part.
fn merges_by_score(model: &GgufTokenizer, names: &[String]) -> Vec<Value> {
    let normal: HashMap<&str, (f32, usize)> =
        pieces_of_type(model, token_type::NORMAL).map(|id| (names[id].as_str(), (model.scores[id], id))).collect();
    let mut ranked = Vec::new();
    for (token, (score, id)) in &normal {
        let splits = token.char_indices().skip(1).map(|(at, _)| token.split_at(at));
        let known = splits.filter(|(left, right)| normal.contains_key(left) && normal.contains_key(right));
        ranked.extend(known.map(|(left, right)| (*score, *id, left, right)));
    }
    ranked.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| (a.1, a.2, a.3).cmp(&(b.1, b.2, b.3))));
    ranked.into_iter().map(|(_, _, left, right)| json!([left, right])).collect()
}

/// SentencePiece's normalization in its order. `double_mark`: a text that begins with `▁` gets another one, which the
/// pre-tokenizer leaves out there.
fn normalizer(model: &GgufTokenizer, double_mark: bool) -> Value {
    let replace = |pattern: Value, content: &str| json!({ "type": "Replace", "pattern": pattern, "content": content });
    let mut parts = Vec::new();
    if !model.precompiled_charsmap.is_empty() {
        let table = charsmap::encode_base64(&model.precompiled_charsmap);
        parts.push(json!({ "type": "Precompiled", "precompiled_charsmap": table }));
    }
    if model.remove_extra_whitespaces != Some(false) {
        parts.push(replace(json!({ "Regex": r"\A +| +\z" }), ""));
        parts.push(replace(json!({ "Regex": " {2,}" }), " "));
    }
    parts.push(replace(json!({ "String": " " }), METASPACE));
    if double_mark {
        parts.push(replace(json!({ "Regex": format!(r"\A{METASPACE}") }), &METASPACE.repeat(2)));
    }
    sequence("normalizers", parts)
}

/// A pre-tokenizer that makes each user-defined piece a word of its own, the longest first.
fn split_at(user_defined: &[&str]) -> Option<Value> {
    let mut sorted = user_defined.to_vec();
    sorted.sort_by_key(|piece| std::cmp::Reverse(piece.chars().count()));
    let escaped: Vec<String> = sorted.into_iter().map(escape_regex).collect();
    (!escaped.is_empty()).then(|| isolated_split(&escaped.join("|")))
}

/// A regular expression that matches exactly `text`.
fn escape_regex(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len());
    for c in text.chars() {
        // Not all punctuation: `\<` is the beginning of a word.
        if r"\.+*?()|[]{}^$#&-~".contains(c) {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern
}
