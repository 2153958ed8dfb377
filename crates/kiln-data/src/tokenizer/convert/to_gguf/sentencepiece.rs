//! SentencePiece's tokenizers, as other libraries write them down: pieces with scores, or with merges that follow scores.

use super::{BYTE, NORMAL, UNKNOWN, require_part_types, unsupported_error};
use crate::{
    DataError,
    tokenizer::{charsmap, convert::GgufTokenizer, train::tokenizer_error},
};
use serde_json::Value;
use std::collections::HashMap;

/// A Unigram. Whether a space comes first and runs of spaces are one is said in several ways in a `tokenizer.json`: each
/// of the four is tried.
pub(super) fn unigram_candidates(file: &Value, listed: GgufTokenizer) -> Result<Vec<GgufTokenizer>, DataError> {
    let pieces = file["model"]["vocab"].as_array().into_iter().flatten();
    let mut scores: Vec<f32> = pieces.map(|piece| piece[1].as_f64().unwrap_or_default() as f32).collect();
    scores.resize(listed.tokens.len(), 0.0);
    let charsmap = read_charsmap(file)?;
    let found = GgufTokenizer {
        model: "t5".into(),
        scores,
        precompiled_charsmap: charsmap,
        ..require_space_handling(file, listed)?
    };
    Ok([(true, true), (true, false), (false, true), (false, false)]
        .map(|(prefix, tidy)| GgufTokenizer {
            add_space_prefix: Some(prefix),
            remove_extra_whitespaces: Some(tidy),
            ..found.clone()
        })
        .into())
}

/// A BPE with tokens for bytes. Its merges must be those of scores: a score is the place of a token's first merge.
pub(super) fn bpe_candidates(file: &Value, listed: GgufTokenizer) -> Result<Vec<GgufTokenizer>, DataError> {
    let model = &file["model"];
    if listed.token_types.iter().filter(|kind| **kind == BYTE).count() != 256 {
        return Err(unsupported_error("other programs read a BPE of characters only if it has a token for each byte"));
    }
    if model["ignore_merges"] == true {
        return Err(unsupported_error("whole words are tokens whatever its merges say (`ignore_merges`)"));
    }
    let merges: Vec<[String; 2]> = model["merges"].as_array().into_iter().flatten().map(parse_merge).collect();
    let mut places = HashMap::new();
    for (place, [left, right]) in merges.iter().enumerate() {
        places.entry(format!("{left}{right}")).or_insert(place);
    }
    let last = merges.len();
    let place = |token: &String| places.get(token).copied().unwrap_or(last);
    let scores = listed.tokens.iter().zip(&listed.token_types);
    let scores = scores.map(|(token, kind)| if *kind == NORMAL { -(place(token) as f32) } else { 0.0 }).collect();
    if !read_charsmap(file)?.is_empty() {
        return Err(unsupported_error("a BPE with a table of characters (`Precompiled`)"));
    }
    let found = GgufTokenizer { model: "llama".into(), scores, ..require_space_handling(file, listed)? };
    let back: Value = serde_json::from_str(found.to_tokenizer()?.to_json()).map_err(tokenizer_error)?;
    if !back["model"]["merges"].as_array().into_iter().flatten().map(parse_merge).eq(merges) {
        return Err(unsupported_error("its merges are not those that follow from scores of its tokens"));
    }
    Ok([true, false].map(|prefix| GgufTokenizer { add_space_prefix: Some(prefix), ..found.clone() }).into())
}

fn parse_merge(merge: &Value) -> [String; 2] {
    let two = match merge {
        Value::String(both) => both.split_once(' '),
        both => both[0].as_str().zip(both[1].as_str()),
    };
    two.map(|(left, right)| [left.to_owned(), right.to_owned()]).unwrap_or_default()
}

/// Refuses what does more to a text than to mark its spaces. What is unknown has a role.
fn require_space_handling(file: &Value, mut listed: GgufTokenizer) -> Result<GgufTokenizer, DataError> {
    require_part_types(file, "normalizer", &["Precompiled", "Replace", "Prepend", "Strip"])?;
    require_part_types(file, "pre_tokenizer", &["Metaspace", "WhitespaceSplit"])?;
    listed.roles.unk = listed.token_types.iter().position(|kind| *kind == UNKNOWN).map(|id| id as u32);
    Ok(listed)
}

/// The table of a normaliser, as SentencePiece compiles it.
fn read_charsmap(file: &Value) -> Result<Vec<u8>, DataError> {
    let normalizer = &file["normalizer"];
    let parts = normalizer["normalizers"].as_array().cloned().unwrap_or_else(|| vec![normalizer.clone()]);
    let tables: Vec<&str> = parts.iter().filter_map(|part| part["precompiled_charsmap"].as_str()).collect();
    match tables[..] {
        [] => Ok(Vec::new()),
        [table] => {
            charsmap::decode_base64(table).ok_or_else(|| tokenizer_error("`precompiled_charsmap` is no base 64"))
        }
        _ => Err(unsupported_error("several tables of characters (`Precompiled`)")),
    }
}
