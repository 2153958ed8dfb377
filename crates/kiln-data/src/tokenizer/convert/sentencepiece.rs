//! SentencePiece (1808.06226): a `.model` file, and what GGUF files keep of one.

use super::{
    GgufTokenizer,
    json_parts::{sequence, tokenizer_json},
    protobuf::{FieldValue, parse_fields},
};
use crate::{
    DataError,
    tokenizer::{TokenRoles, charsmap, train::tokenizer_error},
};
use serde_json::{Map, Value, json};
use std::{
    cmp::Reverse,
    collections::{HashMap, HashSet},
};

/// What stands for a space.
const METASPACE: &str = "\u{2581}";
const NORMAL: i32 = 1;
const UNKNOWN: i32 = 2;
const BYTE: i32 = 6;

/// Reads a `.model`. Whether `<s>` and `</s>` are added to texts is not in it: that is for whoever uses it to say.
///
/// # Errors
/// If it is damaged, or neither a BPE nor a Unigram model.
pub fn parse_sentencepiece(bytes: &[u8]) -> Result<GgufTokenizer, DataError> {
    // Where nothing is written, the format's defaults hold.
    let mut found = GgufTokenizer {
        model: "t5".into(),
        add_bos: Some(false),
        add_eos: Some(false),
        add_space_prefix: Some(true),
        remove_extra_whitespaces: Some(true),
        roles: TokenRoles { bos: Some(1), eos: Some(2), ..TokenRoles::default() },
        ..GgufTokenizer::default()
    };
    for (number, content) in parse_fields(bytes)? {
        match (number, content) {
            (1, FieldValue::Bytes(piece)) => push_piece(&mut found, piece)?,
            (2, FieldValue::Bytes(trainer)) => read_trainer_spec(&mut found, trainer)?,
            (3, FieldValue::Bytes(normalizer)) => read_normalizer_spec(&mut found, normalizer)?,
            _ => {}
        }
    }
    found.roles.unk = found.token_types.iter().position(|kind| *kind == UNKNOWN).map(|id| id as u32);
    let tokens = found.tokens.len();
    found.roles.slots_mut().into_iter().for_each(|slot| *slot = slot.filter(|id| (*id as usize) < tokens));
    Ok(found)
}

fn push_piece(found: &mut GgufTokenizer, piece: &[u8]) -> Result<(), DataError> {
    let (mut text, mut score, mut kind) = (String::new(), 0.0, NORMAL);
    for field in parse_fields(piece)? {
        match field {
            (1, FieldValue::Bytes(bytes)) => text = String::from_utf8(bytes.to_vec()).map_err(tokenizer_error)?,
            (2, FieldValue::Fixed32(bytes)) => score = f32::from_le_bytes(bytes),
            (3, FieldValue::Varint(number)) => kind = number as i32,
            _ => {}
        }
    }
    found.tokens.push(text);
    found.scores.push(score);
    found.token_types.push(kind);
    Ok(())
}

fn read_trainer_spec(found: &mut GgufTokenizer, spec: &[u8]) -> Result<(), DataError> {
    // A negative number says that there is no such token.
    let id = |number: u64| u32::try_from(number).ok();
    for field in parse_fields(spec)? {
        match field {
            (3, FieldValue::Varint(kind)) => {
                found.model = match kind {
                    1 => "t5".into(),
                    2 => "llama".into(),
                    _ => {
                        return Err(tokenizer_error(
                            "a SentencePiece model of words or characters: Kiln reads BPE and Unigram",
                        ));
                    }
                }
            }
            (24, FieldValue::Varint(1)) => {
                return Err(tokenizer_error("its spaces stand behind words (treat_whitespace_as_suffix)"));
            }
            (41, FieldValue::Varint(number)) => found.roles.bos = id(number),
            (42, FieldValue::Varint(number)) => found.roles.eos = id(number),
            (43, FieldValue::Varint(number)) => found.roles.pad = id(number),
            _ => {}
        }
    }
    Ok(())
}

fn read_normalizer_spec(found: &mut GgufTokenizer, spec: &[u8]) -> Result<(), DataError> {
    for field in parse_fields(spec)? {
        match field {
            (2, FieldValue::Bytes(table)) => found.precompiled_charsmap = table.to_vec(),
            (3, FieldValue::Varint(number)) => found.add_space_prefix = Some(number != 0),
            (4, FieldValue::Varint(number)) => found.remove_extra_whitespaces = Some(number != 0),
            (5, FieldValue::Varint(0)) => {
                return Err(tokenizer_error("its spaces are not escaped (escape_whitespaces)"));
            }
            _ => {}
        }
    }
    Ok(())
}

/// The `tokenizer.json` of a BPE model: its merges are those of the pieces, the likeliest first.
pub(super) fn bpe_json(found: &GgufTokenizer) -> Result<Value, DataError> {
    let vocab: HashMap<&str, u32> = found.tokens.iter().map(String::as_str).zip(0..).collect();
    let unknown = unknown_id(found).ok_or_else(|| tokenizer_error("no piece stands for what is unknown"))?;
    let model = json!({
        "type": "BPE", "dropout": null, "unk_token": found.tokens[unknown], "continuing_subword_prefix": null,
        "end_of_word_suffix": null, "fuse_unk": true, "byte_fallback": found.token_types.contains(&BYTE),
        "ignore_merges": false,
        "vocab": vocab.iter().map(|(token, id)| ((*token).to_string(), Value::from(*id))).collect::<Map<_, _>>(),
        "merges": derive_merges(found, &vocab),
    });
    Ok(build_json(model, found, false))
}

/// The `tokenizer.json` of a Unigram model.
pub(super) fn unigram_json(found: &GgufTokenizer) -> Result<Value, DataError> {
    let unknown = unknown_id(found).ok_or_else(|| tokenizer_error("no piece stands for what is unknown"))?;
    let score = |i: usize| found.scores.get(i).copied().unwrap_or_default();
    let pieces: Vec<Value> = found.tokens.iter().enumerate().map(|(i, token)| json!([token, score(i)])).collect();
    let fallback = found.token_types.contains(&BYTE);
    let model = json!({ "type": "Unigram", "unk_id": unknown, "vocab": pieces, "byte_fallback": fallback });
    Ok(build_json(model, found, true))
}

fn unknown_id(found: &GgufTokenizer) -> Option<usize> {
    let told = found.roles.unk.map(|id| id as usize);
    told.or_else(|| found.token_types.iter().position(|kind| *kind == UNKNOWN))
}

fn derive_merges(found: &GgufTokenizer, vocab: &HashMap<&str, u32>) -> Vec<[String; 2]> {
    let kind = |id: usize| found.token_types.get(id).copied().unwrap_or(NORMAL);
    let known: HashSet<&str> =
        (0..found.tokens.len()).filter(|id| kind(*id) == NORMAL).map(|id| &*found.tokens[id]).collect();
    let mut merges: Vec<(f32, usize, usize, &str, &str)> = Vec::new();
    for (id, token) in found.tokens.iter().enumerate().filter(|(id, _)| kind(*id) == NORMAL) {
        let cuts = token.char_indices().skip(1).map(|(at, _)| token.split_at(at));
        let mut pairs: Vec<_> = cuts.filter(|(left, right)| known.contains(left) && known.contains(right)).collect();
        pairs.sort_by_key(|(left, right)| (vocab[left], vocab[right]));
        let score = found.scores.get(id).copied().unwrap_or_default();
        let lengths = |text: &str| text.chars().count();
        merges.extend(pairs.into_iter().map(|(left, right)| (score, lengths(left), lengths(right), left, right)));
    }
    merges.sort_by(|a, b| {
        b.0.total_cmp(&a.0).then_with(|| (Reverse(a.1), Reverse(a.2)).cmp(&(Reverse(b.1), Reverse(b.2))))
    });
    merges.into_iter().map(|(.., left, right)| [left.to_string(), right.to_string()]).collect()
}

fn build_json(model: Value, found: &GgufTokenizer, tidy: bool) -> Value {
    let prefix = found.add_space_prefix.unwrap_or(true);
    let replace = |pattern: Value, content: &str| json!({ "type": "Replace", "pattern": pattern, "content": content });
    let mut normalizer = Vec::new();
    if !found.precompiled_charsmap.is_empty() {
        let table = charsmap::encode_base64(&found.precompiled_charsmap);
        normalizer.push(json!({ "type": "Precompiled", "precompiled_charsmap": table }));
    }
    if found.remove_extra_whitespaces.unwrap_or(tidy) {
        normalizer.push(replace(json!({ "Regex": "^ +| +$" }), ""));
        normalizer.push(replace(json!({ "Regex": " {2,}" }), " "));
    }
    if prefix {
        normalizer.push(json!({ "type": "Prepend", "prepend": METASPACE }));
    }
    normalizer.push(replace(json!({ "String": " " }), METASPACE));
    let mut decoder = vec![replace(json!({ "String": METASPACE }), " ")];
    decoder.extend([json!({ "type": "ByteFallback" }), json!({ "type": "Fuse" })]);
    if prefix {
        decoder.push(json!({ "type": "Strip", "content": " ", "start": 1, "stop": 0 }));
    }
    tokenizer_json(model, sequence("normalizers", normalizer), Value::Null, sequence("decoders", decoder))
}
