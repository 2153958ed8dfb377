//! SentencePiece tokenizers (1808.06226): conversion of BPE and Unigram models to a `tokenizer.json` and back.
//!
//! SentencePiece replaces spaces by `▁`, usually puts one in front of the text, and treats the text as one word. In a
//! `tokenizer.json` this is a normalizer (`Prepend`, `Replace`) and a decoder that reverses it; other libraries write a
//! `Metaspace` pre-tokenizer instead.

use super::{
    GgufTokenizer, METASPACE,
    gguf::token_type::{BYTE, NORMAL, UNKNOWN},
    list_parts, sequence,
    to_gguf::{require_part_types, unsupported},
    tokenizer_json,
};
use crate::{
    DataError,
    tokenizer::{charsmap, tokenizer_json::merge_pair},
};
use serde_json::{Map, Value, json};
use std::{
    cmp::Reverse,
    collections::{HashMap, HashSet},
};

/// The `tokenizer.json` of a BPE model (GGUF: `llama`). SentencePiece merges the pair whose result has the highest
/// score; the merges are derived from the scores of the pieces.
///
/// # Errors
/// [`DataError::Tokenizer`] if the model has no unknown token.
pub(super) fn bpe_json(gguf: &GgufTokenizer) -> Result<Value, DataError> {
    let ids: HashMap<&str, u32> = gguf.tokens.iter().map(String::as_str).zip(0..).collect();
    let vocab: Map<String, Value> = ids.iter().map(|(token, id)| ((*token).to_string(), Value::from(*id))).collect();
    let model = json!({
        "type": "BPE", "dropout": null, "unk_token": gguf.tokens[unknown_id(gguf)?], "continuing_subword_prefix": null,
        "end_of_word_suffix": null, "fuse_unk": true, "byte_fallback": gguf.token_types.contains(&BYTE),
        "ignore_merges": false, "vocab": vocab, "merges": derive_merges(gguf, &ids),
    });
    Ok(build_json(model, gguf, false))
}

/// The `tokenizer.json` of a Unigram model (GGUF: `t5`).
///
/// # Errors
/// [`DataError::Tokenizer`] if the model has no unknown token.
pub(super) fn unigram_json(gguf: &GgufTokenizer) -> Result<Value, DataError> {
    let scores = gguf.scores.iter().copied().chain(std::iter::repeat(0.0));
    let pieces: Vec<Value> = gguf.tokens.iter().zip(scores).map(|(token, score)| json!([token, score])).collect();
    let byte_fallback = gguf.token_types.contains(&BYTE);
    let model =
        json!({ "type": "Unigram", "unk_id": unknown_id(gguf)?, "vocab": pieces, "byte_fallback": byte_fallback });
    Ok(build_json(model, gguf, true))
}

/// Id of the unknown token: its role, or else the first token of type 2.
fn unknown_id(gguf: &GgufTokenizer) -> Result<usize, DataError> {
    let by_role = gguf.roles.unk.map(|id| id as usize);
    let id = by_role.or_else(|| gguf.token_types.iter().position(|token_type| *token_type == UNKNOWN));
    id.ok_or_else(|| DataError::tokenizer("the vocabulary has no unknown token: no token has the type 2"))
}

/// Merges of a BPE model in order: every split of a normal piece into two normal pieces, by the score of the piece, the
/// highest first. For equal scores the longer left part comes first, then the longer right part; then the order of the
/// pieces and of the ids of their parts (the sort is stable).
fn derive_merges(gguf: &GgufTokenizer, ids: &HashMap<&str, u32>) -> Vec<[String; 2]> {
    let types = gguf.token_types.iter().copied().chain(std::iter::repeat(NORMAL));
    let scores = gguf.scores.iter().copied().chain(std::iter::repeat(0.0));
    let tokens = gguf.tokens.iter().map(String::as_str).zip(types).zip(scores);
    let normal: Vec<(&str, f32)> =
        tokens.filter(|((_, token_type), _)| *token_type == NORMAL).map(|((token, _), score)| (token, score)).collect();
    let known: HashSet<&str> = normal.iter().map(|(token, _)| *token).collect();
    let mut merges: Vec<(f32, [usize; 2], [&str; 2])> = Vec::new();
    for (token, score) in normal {
        let splits = token.char_indices().skip(1).map(|(at, _)| token.split_at(at));
        let mut pairs: Vec<_> = splits.filter(|(left, right)| known.contains(left) && known.contains(right)).collect();
        pairs.sort_by_key(|(left, right)| (ids[left], ids[right]));
        let with_lengths = pairs.into_iter().map(|(left, right)| {
            let lengths = [left, right].map(|part| part.chars().count());
            (score, lengths, [left, right])
        });
        merges.extend(with_lengths);
    }
    merges.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| Reverse(a.1).cmp(&Reverse(b.1))));
    merges.into_iter().map(|(_, _, parts)| parts.map(str::to_string)).collect()
}

/// A `tokenizer.json` with SentencePiece's normalizer and decoder; `collapse_spaces` is the default of
/// `remove_extra_whitespaces`.
fn build_json(model: Value, gguf: &GgufTokenizer, collapse_spaces: bool) -> Value {
    let add_space = gguf.add_space_prefix.unwrap_or(true);
    let mut normalizer = Vec::new();
    if !gguf.precompiled_charsmap.is_empty() {
        let table = charsmap::encode_base64(&gguf.precompiled_charsmap);
        normalizer.push(json!({ "type": "Precompiled", "precompiled_charsmap": table }));
    }
    if gguf.remove_extra_whitespaces.unwrap_or(collapse_spaces) {
        normalizer.push(replace(json!({ "Regex": "^ +| +$" }), ""));
        normalizer.push(replace(json!({ "Regex": " {2,}" }), " "));
    }
    if add_space {
        normalizer.push(json!({ "type": "Prepend", "prepend": METASPACE }));
    }
    normalizer.push(replace(json!({ "String": " " }), METASPACE));
    let mut decoder = vec![replace(json!({ "String": METASPACE }), " ")];
    decoder.extend([json!({ "type": "ByteFallback" }), json!({ "type": "Fuse" })]);
    if add_space {
        decoder.push(json!({ "type": "Strip", "content": " ", "start": 1, "stop": 0 }));
    }
    tokenizer_json(model, sequence("normalizers", normalizer), Value::Null, sequence("decoders", decoder))
}

/// A `Replace` step of a normalizer or a decoder.
fn replace(pattern: Value, content: &str) -> Value {
    json!({ "type": "Replace", "pattern": pattern, "content": content })
}

/// GGUF metadata of a Unigram `tokenizer.json`; `base` has its tokens and roles. A `tokenizer.json` can express the
/// space in front and the removal of spaces in many ways, so that all four combinations are candidates; the caller
/// takes the one that gives the same ids.
///
/// # Errors
/// [`DataError::UnsupportedByGguf`] for other normalizers or pre-tokenizers than those of SentencePiece.
pub(super) fn unigram_candidates(file: &Value, base: GgufTokenizer) -> Result<Vec<GgufTokenizer>, DataError> {
    let pieces = file["model"]["vocab"].as_array().into_iter().flatten();
    let mut scores: Vec<f32> = pieces.map(|piece| piece[1].as_f64().unwrap_or_default() as f32).collect();
    scores.resize(base.tokens.len(), 0.0);
    let gguf = GgufTokenizer {
        model: "t5".into(),
        scores,
        precompiled_charsmap: read_charsmap(file)?,
        ..require_space_handling(file, base)?
    };
    Ok(vec![
        with_spaces(&gguf, true, Some(true)),
        with_spaces(&gguf, true, Some(false)),
        with_spaces(&gguf, false, Some(true)),
        with_spaces(&gguf, false, Some(false)),
    ])
}

/// GGUF metadata of a BPE `tokenizer.json` of characters; `base` has its tokens and roles. The score of a token is the
/// negative index of its first merge; the merges that follow from these scores must make the same tokens in the same
/// order as those of the file. The space in front has two candidates, as in [`unigram_candidates`].
///
/// # Errors
/// [`DataError::UnsupportedByGguf`] if bytes are not tokens, the merges do not follow from scores, or the file has
/// other normalizers or pre-tokenizers than those of SentencePiece.
pub(super) fn bpe_candidates(file: &Value, base: GgufTokenizer) -> Result<Vec<GgufTokenizer>, DataError> {
    let model = &file["model"];
    if base.token_types.iter().filter(|token_type| **token_type == BYTE).count() != 256 {
        return Err(unsupported("a BPE of characters needs a token for each byte (`<0x00>` to `<0xFF>`)"));
    }
    if model["ignore_merges"] == true {
        return Err(unsupported("`model.ignore_merges` is true, expected false"));
    }
    if !read_charsmap(file)?.is_empty() {
        return Err(unsupported("`normalizer` has a `Precompiled` table, which GGUF has for Unigram models only"));
    }
    let scores = scores_of_merges(&base, &parse_merges(model));
    let gguf = GgufTokenizer { model: "llama".into(), scores, ..require_space_handling(file, base)? };
    let restored: Value = serde_json::from_str(gguf.to_tokenizer()?.to_json()).map_err(DataError::tokenizer)?;
    if merge_results(&restored["model"], &gguf) != merge_results(model, &gguf) {
        return Err(unsupported("`model.merges` do not follow from scores of its tokens"));
    }
    Ok(vec![with_spaces(&gguf, true, None), with_spaces(&gguf, false, None)])
}

/// A copy with these flags of spaces.
fn with_spaces(gguf: &GgufTokenizer, add_space_prefix: bool, remove_extra: Option<bool>) -> GgufTokenizer {
    GgufTokenizer { add_space_prefix: Some(add_space_prefix), remove_extra_whitespaces: remove_extra, ..gguf.clone() }
}

/// The merges of a model.
fn parse_merges(model: &Value) -> Vec<(&str, &str)> {
    model["merges"].as_array().into_iter().flatten().filter_map(merge_pair).collect()
}

/// The tokens that the merges of normal tokens make, in order. Several splits of one token have the same score, so that
/// their order among each other is not compared.
fn merge_results(model: &Value, gguf: &GgufTokenizer) -> Vec<String> {
    let normal = gguf.tokens.iter().zip(&gguf.token_types).filter(|(_, kind)| **kind == NORMAL);
    let normal: HashSet<&str> = normal.map(|(token, _)| token.as_str()).collect();
    let mut results = Vec::new();
    for (left, right) in parse_merges(model) {
        let result = format!("{left}{right}");
        if [left, right, &result].iter().all(|token| normal.contains(token)) {
            results.push(result);
        }
    }
    results.dedup();
    results
}

/// Scores of the tokens: for normal ones the negative index of the first merge that makes them, or the number of merges
/// if none does; 0 for all others.
fn scores_of_merges(base: &GgufTokenizer, merges: &[(&str, &str)]) -> Vec<f32> {
    let mut ranks: HashMap<String, usize> = HashMap::new();
    for (rank, (left, right)) in merges.iter().enumerate() {
        ranks.entry(format!("{left}{right}")).or_insert(rank);
    }
    let mut scores = Vec::with_capacity(base.tokens.len());
    for (token, token_type) in base.tokens.iter().zip(&base.token_types) {
        let rank = ranks.get(token).copied().unwrap_or(merges.len());
        scores.push(if *token_type == NORMAL { -(rank as f32) } else { 0.0 });
    }
    scores
}

/// `base` with the role of the unknown token, if the file only replaces characters and marks spaces before the model.
fn require_space_handling(file: &Value, mut base: GgufTokenizer) -> Result<GgufTokenizer, DataError> {
    require_part_types(file, "normalizer", &["Precompiled", "Replace", "Prepend", "Strip"])?;
    require_part_types(file, "pre_tokenizer", &["Metaspace", "WhitespaceSplit"])?;
    base.roles.unk = base.token_types.iter().position(|token_type| *token_type == UNKNOWN).map(|id| id as u32);
    Ok(base)
}

/// The normalization table of a `tokenizer.json`; empty if it has none.
fn read_charsmap(file: &Value) -> Result<Vec<u8>, DataError> {
    let parts = list_parts(&file["normalizer"], "normalizers");
    let tables: Vec<&str> = parts.iter().filter_map(|part| part["precompiled_charsmap"].as_str()).collect();
    match tables[..] {
        [] => Ok(Vec::new()),
        [table] => charsmap::decode_base64(table),
        _ => Err(unsupported("`normalizer` has several `Precompiled` tables, expected at most one")),
    }
}
