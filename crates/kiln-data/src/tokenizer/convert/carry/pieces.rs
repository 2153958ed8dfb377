//! SentencePiece's tokenizers, as other libraries write them down: pieces with scores, or with merges that follow scores.

use super::{BYTE, NORMAL, UNKNOWN, only, uncarried};
use crate::{
    DataError,
    tokenizer::{charsmap, convert::Carried, train::broken},
};
use serde_json::Value;
use std::collections::HashMap;

/// A Unigram. Whether a space comes first and runs of spaces are one is said in several ways in a `tokenizer.json`: each
/// of the four is tried.
pub(super) fn unigram(file: &Value, listed: Carried) -> Result<Vec<Carried>, DataError> {
    let pieces = file["model"]["vocab"].as_array().into_iter().flatten();
    let mut scores: Vec<f32> = pieces.map(|piece| piece[1].as_f64().unwrap_or_default() as f32).collect();
    scores.resize(listed.tokens.len(), 0.0);
    let charsmap = charsmap(file)?;
    let found = Carried { model: "t5".into(), scores, charsmap, ..spaced(file, listed)? };
    Ok([(true, true), (true, false), (false, true), (false, false)]
        .map(|(prefix, tidy)| Carried {
            add_space_prefix: Some(prefix),
            remove_extra_whitespaces: Some(tidy),
            ..found.clone()
        })
        .into())
}

/// A BPE with tokens for bytes. Its merges must be those of scores: a score is the place of a token's first merge.
pub(super) fn bpe(file: &Value, listed: Carried) -> Result<Vec<Carried>, DataError> {
    let model = &file["model"];
    if listed.types.iter().filter(|kind| **kind == BYTE).count() != 256 {
        return Err(uncarried("other programs read a BPE of characters only if it has a token for each byte"));
    }
    if model["ignore_merges"] == true {
        return Err(uncarried("whole words are tokens whatever its merges say (`ignore_merges`)"));
    }
    let merges: Vec<[String; 2]> = model["merges"].as_array().into_iter().flatten().map(pair).collect();
    let mut places = HashMap::new();
    for (place, [left, right]) in merges.iter().enumerate() {
        places.entry(format!("{left}{right}")).or_insert(place);
    }
    let last = merges.len();
    let place = |token: &String| places.get(token).copied().unwrap_or(last);
    let scores = listed.tokens.iter().zip(&listed.types);
    let scores = scores.map(|(token, kind)| if *kind == NORMAL { -(place(token) as f32) } else { 0.0 }).collect();
    if !charsmap(file)?.is_empty() {
        return Err(uncarried("a BPE with a table of characters (`Precompiled`)"));
    }
    let found = Carried { model: "llama".into(), scores, ..spaced(file, listed)? };
    let back: Value = serde_json::from_str(found.tokenizer()?.to_json()).map_err(broken)?;
    if !back["model"]["merges"].as_array().into_iter().flatten().map(pair).eq(merges) {
        return Err(uncarried("its merges are not those that follow from scores of its tokens"));
    }
    Ok([true, false].map(|prefix| Carried { add_space_prefix: Some(prefix), ..found.clone() }).into())
}

fn pair(merge: &Value) -> [String; 2] {
    let two = match merge {
        Value::String(both) => both.split_once(' '),
        both => both[0].as_str().zip(both[1].as_str()),
    };
    two.map(|(left, right)| [left.to_owned(), right.to_owned()]).unwrap_or_default()
}

/// Refuses what does more to a text than to mark its spaces. What is unknown has a role.
fn spaced(file: &Value, mut listed: Carried) -> Result<Carried, DataError> {
    only(file, "normalizer", &["Precompiled", "Replace", "Prepend", "Strip"])?;
    only(file, "pre_tokenizer", &["Metaspace", "WhitespaceSplit"])?;
    listed.roles.unk = listed.types.iter().position(|kind| *kind == UNKNOWN).map(|id| id as u32);
    Ok(listed)
}

/// The table of a normaliser, as SentencePiece compiles it.
fn charsmap(file: &Value) -> Result<Vec<u8>, DataError> {
    let normalizer = &file["normalizer"];
    let parts = normalizer["normalizers"].as_array().cloned().unwrap_or_else(|| vec![normalizer.clone()]);
    let tables: Vec<&str> = parts.iter().filter_map(|part| part["precompiled_charsmap"].as_str()).collect();
    match tables[..] {
        [] => Ok(Vec::new()),
        [table] => charsmap::decode(table).ok_or_else(|| broken("`precompiled_charsmap` is no base 64")),
        _ => Err(uncarried("several tables of characters (`Precompiled`)")),
    }
}
