//! Checks of a `tokenizer.json` before it is loaded: rejects files at which the `tokenizers` library would panic, fail
//! for some texts, or give random results.

use super::super::{
    byte_encoding::{to_byte_fallback, to_char},
    charsmap,
    tokenizer_json::check_merges,
};
use crate::DataError;
use serde_json::Value;
use tokenizers::Tokenizer as Pipeline;

/// Largest token id. The memory of a vocabulary grows with its largest id; a larger one means a corrupt file.
const MAX_TOKEN_ID: u64 = (1 << 24) - 1;

/// Checks all sections of the file.
///
/// # Errors
/// [`DataError::Tokenizer`] with the key of the invalid part.
pub(super) fn check(file: &Value) -> Result<(), DataError> {
    check_model(&file["model"])?;
    let added = file["added_tokens"].as_array().into_iter().flatten();
    added.filter_map(|token| token["id"].as_u64()).try_for_each(check_token_id)?;
    // Parts may have no `type`: the library identifies them by their fields.
    if flatten_parts(&file["decoder"]).iter().any(|part| part["stop"].as_u64().is_some_and(|stop| stop > 0)) {
        return Err(DataError::tokenizer("`decoder`: `Strip` with `stop` above 0 is not supported"));
    }
    flatten_parts(&file["post_processor"]).into_iter().try_for_each(check_template)?;
    if flatten_parts(&file["pre_tokenizer"]).iter().any(|part| part["length"] == 0) {
        return Err(DataError::tokenizer("`pre_tokenizer`: `FixedLength` has the length 0, expected at least 1"));
    }
    let normalizers = flatten_parts(&file["normalizer"]).into_iter();
    normalizers.filter_map(|part| part["precompiled_charsmap"].as_str()).try_for_each(charsmap::check_base64)
}

/// Checks a `TemplateProcessing`: every special token of a template is in its `special_tokens`, with one name for each
/// id, and the template of a single text uses no second text.
fn check_template(part: &Value) -> Result<(), DataError> {
    for (template, is_pair) in [("single", false), ("pair", true)] {
        for piece in part[template].as_array().into_iter().flatten() {
            let missing_text = !is_pair && piece["Sequence"]["id"] == "B";
            let name = piece["SpecialToken"]["id"].as_str();
            if missing_text || name.is_some_and(|name| !is_template_token(&part["special_tokens"][name])) {
                let reason = format!("`post_processor.{template}` uses {piece}, which is not defined");
                return Err(DataError::tokenizer(reason));
            }
        }
    }
    Ok(())
}

/// Whether a special token of a template has as many `ids` as `tokens`.
fn is_template_token(token: &Value) -> bool {
    let num_ids = token["ids"].as_array().map(Vec::len);
    let num_names = token["tokens"].as_array().map(Vec::len);
    num_ids.is_some() && num_ids == num_names
}

fn check_token_id(id: u64) -> Result<(), DataError> {
    if id <= MAX_TOKEN_ID {
        return Ok(());
    }
    Err(DataError::tokenizer(format!("a token has the id {id}, expected at most {MAX_TOKEN_ID}")))
}

/// Checks the vocabulary, the unknown token, dropout and the merges of `model`.
fn check_model(model: &Value) -> Result<(), DataError> {
    match &model["vocab"] {
        Value::Object(vocab) => {
            vocab.values().map(|id| id.as_u64().unwrap_or(u64::MAX)).try_for_each(check_token_id)?;
            // BPE without an unknown token drops what it cannot encode; WordPiece and WordLevel fail.
            let needs_unknown = model["merges"].is_null();
            match model["unk_token"].as_str() {
                Some(name) if !vocab.contains_key(name) => {
                    return Err(unknown_token_error(&format!("`model.unk_token` {name:?} is not in `model.vocab`")));
                }
                None if needs_unknown => return Err(unknown_token_error("`model.unk_token` is missing")),
                _ => {}
            }
        }
        Value::Array(pieces) => check_pieces(model, pieces)?,
        _ => return Err(DataError::tokenizer("`model.vocab` is missing")),
    }
    if model["dropout"].as_f64().is_some_and(|dropout| dropout > 0.0) {
        let reason = "`model.dropout` skips merges at random, so that a text has no fixed ids: set it to null";
        return Err(DataError::tokenizer(reason));
    }
    let Some(merges) = model["merges"].as_array() else { return Ok(()) };
    let prefix = model["continuing_subword_prefix"].as_str().unwrap_or_default();
    check_merges(merges, prefix, |token| !model["vocab"][token].is_null())
}

/// Checks the pieces of a Unigram model: it needs an unknown token or all bytes, and no piece may be empty.
fn check_pieces(model: &Value, pieces: &[Value]) -> Result<(), DataError> {
    if model["unk_id"].is_null() && !(model["byte_fallback"] == true && has_all_bytes(pieces)) {
        return Err(unknown_token_error("`model.unk_id` is missing"));
    }
    match pieces.iter().find(|piece| piece[0].as_str().is_none_or(str::is_empty)) {
        None => Ok(()),
        Some(piece) => Err(DataError::tokenizer(format!("`model.vocab`: the piece {piece} has no text"))),
    }
}

fn unknown_token_error(what: &str) -> DataError {
    DataError::tokenizer(format!("{what}: text with unknown characters could not be encoded"))
}

/// Whether each of the 256 bytes is a piece (`<0x00>` to `<0xFF>`).
fn has_all_bytes(pieces: &[Value]) -> bool {
    (0..=255u8).all(|byte| pieces.iter().any(|piece| piece[0] == to_byte_fallback(byte).as_str()))
}

/// Bytes that a byte-level BPE vocabulary lacks without having an unknown token: the library drops them from texts, as
/// the original tokenizers do. Bytes that never occur in UTF-8 do not count.
pub(super) fn unencodable_bytes(file: &Value) -> Vec<u8> {
    let model = &file["model"];
    let is_byte_level = ["pre_tokenizer", "normalizer"].iter().any(|part| has_part_type(&file[*part], "ByteLevel"));
    let drops_unknown = model["merges"].is_array() && model["unk_token"].is_null() && model["byte_fallback"] != true;
    if !is_byte_level || !drops_unknown {
        return Vec::new();
    }
    let utf8_bytes = (0..=255u8).filter(|byte| !matches!(byte, 0xC0 | 0xC1 | 0xF5..=0xFF));
    utf8_bytes.filter(|byte| model["vocab"][to_char(*byte).to_string()].is_null()).collect()
}

/// Checks that the library gave the added tokens the ids of the file. It renumbers added tokens whose ids overlap with
/// the vocabulary or leave gaps, so that they would not fit the model's embeddings.
pub(super) fn check_added_tokens(pipeline: &Pipeline, added: &[Value]) -> Result<(), DataError> {
    for token in added {
        let Some(name) = token["content"].as_str() else { continue };
        let loaded = pipeline.token_to_id(name).map(u64::from);
        let declared = token["id"].as_u64();
        if loaded != declared {
            let [declared, loaded] = [declared, loaded].map(|id| id.map_or("none".into(), |id| id.to_string()));
            let reason = format!("`added_tokens`: {name:?} has the id {declared}, expected {loaded}");
            return Err(DataError::tokenizer(reason));
        }
    }
    Ok(())
}

/// A part of the pipeline, and, if it is a sequence, all of its parts in order.
fn flatten_parts(part: &Value) -> Vec<&Value> {
    let children = ["decoders", "normalizers", "pretokenizers", "processors"]
        .iter()
        .filter_map(|key| part[*key].as_array())
        .flatten();
    std::iter::once(part).chain(children.flat_map(flatten_parts)).collect()
}

/// Types of a part, or of all parts of a sequence in order.
pub(crate) fn part_types(part: &Value) -> Vec<String> {
    let types = flatten_parts(part).into_iter().filter_map(|part| part["type"].as_str());
    types.filter(|kind| *kind != "Sequence").map(str::to_string).collect()
}

/// Whether a part, or a part of a sequence, has this type.
pub(crate) fn has_part_type(part: &Value, kind: &str) -> bool {
    flatten_parts(part).into_iter().any(|part| part["type"] == kind)
}
