//! What the `tokenizers` library would panic over, fail at later, or do at random is refused when the file is read.

use super::super::{
    byte_encoding::{to_byte_fallback, to_char},
    charsmap,
    train::tokenizer_error,
};
use crate::DataError;
use serde_json::Value;
use tokenizers::Tokenizer as Inner;

/// Ids beyond this are no vocabulary but a broken file.
const MAX_TOKEN_ID: u64 = 1 << 24;

pub(super) fn check(file: &Value) -> Result<(), DataError> {
    check_model(&file["model"])?;
    let added = file["added_tokens"].as_array().into_iter().flatten();
    added.filter_map(|token| token["id"].as_u64()).try_for_each(check_token_id)?;
    // Parts without a type are read by what they hold.
    let strips = |part: &&Value| part["stop"].as_u64().is_some_and(|stop| stop > 0);
    if flatten_parts(&file["decoder"]).iter().any(strips) {
        return Err(tokenizer_error("its decoder strips the end of texts (`stop` of `Strip`), which Kiln does not"));
    }
    flatten_parts(&file["post_processor"]).into_iter().try_for_each(check_template)?;
    if flatten_parts(&file["pre_tokenizer"]).iter().any(|part| part["length"] == 0) {
        return Err(tokenizer_error("it cuts words of length 0 (`FixedLength`)"));
    }
    let maps = flatten_parts(&file["normalizer"]).into_iter();
    maps.filter_map(|part| part["precompiled_charsmap"].as_str()).try_for_each(charsmap::check_base64)
}

/// Every special token of a template is one that it lists, with a name for each id; a single text has no second one.
fn check_template(part: &Value) -> Result<(), DataError> {
    let lengths = |token: &Value| token["ids"].as_array().map(Vec::len).zip(token["tokens"].as_array().map(Vec::len));
    for (list, pair) in [("single", false), ("pair", true)] {
        for piece in part[list].as_array().into_iter().flatten() {
            let second = !pair && piece["Sequence"]["id"] == "B";
            let token = piece["SpecialToken"]["id"].as_str().map(|name| &part["special_tokens"][name]);
            if second || token.is_some_and(|token| lengths(token).is_none_or(|(ids, names)| ids != names)) {
                return Err(tokenizer_error(format!(
                    "its post-processor's `{list}` asks for {piece}, which isn't there"
                )));
            }
        }
    }
    Ok(())
}

fn check_token_id(id: u64) -> Result<(), DataError> {
    (id < MAX_TOKEN_ID)
        .then_some(())
        .ok_or_else(|| tokenizer_error(format!("a token has the id {id}, of at most {MAX_TOKEN_ID}")))
}

fn check_model(model: &Value) -> Result<(), DataError> {
    let unknown =
        |why: &str| Err(tokenizer_error(format!("{why}: a text with an unknown character could not be encoded")));
    match &model["vocab"] {
        Value::Object(vocab) => {
            vocab.values().map(|id| id.as_u64().unwrap_or(u64::MAX)).try_for_each(check_token_id)?;
            let wordy = model["merges"].is_null();
            match model["unk_token"].as_str() {
                Some(unk) if !vocab.contains_key(unk) => unknown(&format!("its unknown token {unk:?} is no token"))?,
                None if wordy => unknown("it names no unknown token")?,
                _ => {}
            }
        }
        Value::Array(pieces) if model["unk_id"].is_null() && !(model["byte_fallback"] == true && has_bytes(pieces)) => {
            unknown("it has no unknown token")?;
        }
        Value::Array(pieces) => {
            let odd = pieces.iter().find(|piece| piece[0].as_str().is_none_or(str::is_empty));
            odd.map_or(Ok(()), |piece| Err(tokenizer_error(format!("a piece without text: {piece}"))))?;
        }
        _ => return Err(tokenizer_error("its model has no vocabulary")),
    }
    if model["dropout"].as_f64().is_some_and(|dropout| dropout > 0.0) {
        return Err(tokenizer_error(
            "it leaves out merges at random (`dropout`): the same text must give the same tokens",
        ));
    }
    check_merges(model)
}

/// Whether each byte is a piece.
fn has_bytes(pieces: &[Value]) -> bool {
    (0..=255u8).all(|byte| pieces.iter().any(|piece| piece[0] == to_byte_fallback(byte).as_str()))
}

fn check_merges(model: &Value) -> Result<(), DataError> {
    let Some(merges) = model["merges"].as_array() else { return Ok(()) };
    let prefix = model["continuing_subword_prefix"].as_str().unwrap_or_default().len();
    for merge in merges {
        let pair = match merge {
            Value::String(both) => both.split_once(' '),
            both => both[0].as_str().zip(both[1].as_str()),
        };
        let Some((left, right)) = pair else {
            return Err(tokenizer_error(format!("{merge} is no merge of two tokens")));
        };
        let known = |token: &str| !model["vocab"][token].is_null();
        let joined = right.get(prefix..).map(|rest| format!("{left}{rest}"));
        if !(known(left) && known(right) && joined.is_some_and(|token| known(&token))) {
            return Err(tokenizer_error(format!("the merge of {left:?} and {right:?} makes no known token")));
        }
    }
    Ok(())
}

/// Bytes of UTF-8 that a byte-level vocabulary lacks, where no unknown token stands for them: the library leaves them
/// out, as the tokenizer's own does.
pub(super) fn unencodable_bytes(file: &Value) -> Vec<u8> {
    let model = &file["model"];
    let spelt = part_types(&file["pre_tokenizer"]).iter().any(|kind| kind == "ByteLevel")
        || part_types(&file["normalizer"]).iter().any(|kind| kind == "ByteLevel");
    let drops = model["merges"].is_array() && model["unk_token"].is_null() && model["byte_fallback"] != true;
    let text = |byte: &u8| !matches!(byte, 0xC0 | 0xC1 | 0xF5..=0xFF);
    let bytes = (0..=255u8).filter(|_| spelt && drops).filter(text);
    bytes.filter(|byte| model["vocab"][to_char(*byte).to_string()].is_null()).collect()
}

/// Added tokens must be where the file says: the library numbers them anew otherwise.
pub(super) fn check_added_tokens(inner: &Inner, added: &[Value]) -> Result<(), DataError> {
    for token in added {
        let Some(name) = token["content"].as_str() else { continue };
        let (found, told) = (inner.token_to_id(name).map(u64::from), token["id"].as_u64());
        if found != told {
            let show = |id: Option<u64>| id.map_or("none".into(), |id| id.to_string());
            return Err(tokenizer_error(format!(
                "the added token {name:?} has the id {}, and would get {}",
                show(told),
                show(found)
            )));
        }
    }
    Ok(())
}

/// A part and, of a sequence, all of its parts.
fn flatten_parts(part: &Value) -> Vec<&Value> {
    let inner = ["decoders", "normalizers", "pretokenizers", "processors"]
        .iter()
        .filter_map(|key| part[*key].as_array())
        .flatten();
    std::iter::once(part).chain(inner.flat_map(flatten_parts)).collect()
}

/// The types of a part and, of a sequence, of all its parts in order.
pub(crate) fn part_types(part: &Value) -> Vec<String> {
    let types = flatten_parts(part).into_iter().filter_map(|part| part["type"].as_str());
    types.filter(|kind| *kind != "Sequence").map(str::to_string).collect()
}
