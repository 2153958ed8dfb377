//! Pieces that the converted files share.

use crate::tokenizer::roles;
use serde_json::{Value, json};

/// A whole `tokenizer.json`.
pub(super) fn tokenizer_json(model: Value, normalizer: Value, pre_tokenizer: Value, decoder: Value) -> Value {
    json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": normalizer,
        "pre_tokenizer": pre_tokenizer, "post_processor": null, "decoder": decoder, "model": model,
    })
}

/// An added token, as a special one or as one that is only recognised whole.
pub(super) fn added_token(id: u32, content: &str, special: bool) -> Value {
    json!({
        "id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false,
        "special": special,
    })
}

/// Several parts, one after the other; none for none.
pub(super) fn sequence(list: &str, mut parts: Vec<Value>) -> Value {
    match parts.len() {
        0 => Value::Null,
        1 => parts.remove(0),
        _ => json!({ "type": "Sequence", list: parts }),
    }
}

/// A regular expression.
pub(super) fn regex_split(pattern: &str, behavior: &str) -> Value {
    json!({ "type": "Split", "pattern": { "Regex": pattern }, "behavior": behavior, "invert": false })
}

/// Tokens that are added before and behind each text.
pub(super) fn add_template_processing(json: &mut Value, before: Option<(String, u32)>, behind: Option<(String, u32)>) {
    let special = |token: &(String, u32), kind: u32| json!({ "SpecialToken": { "id": token.0, "type_id": kind } });
    let text = |name: &str, kind: u32| json!({ "Sequence": { "id": name, "type_id": kind } });
    let around = |name: &str, kind: u32, first: bool| {
        // A pair of texts has one beginning where it has an end between the two.
        let before = before.iter().filter(|_| first || behind.is_none()).map(|token| special(token, kind));
        let behind = behind.iter().map(|token| special(token, kind));
        before.chain([text(name, kind)]).chain(behind).collect::<Vec<_>>()
    };
    if before.is_none() && behind.is_none() {
        return;
    }
    let known = before.iter().chain(&behind);
    let known: serde_json::Map<String, Value> =
        known.map(|(name, id)| (name.clone(), json!({ "id": name, "ids": [id], "tokens": [name] }))).collect();
    let pair = [around("A", 0, true), around("B", 1, false)].concat();
    json["post_processor"] = json!({
        "type": "TemplateProcessing", "single": around("A", 0, true),
        "pair": pair, "special_tokens": known,
    });
}

/// The same of tokens by name, as far as the vocabulary has them.
pub(crate) fn add_template_by_names(file: &mut Value, names: [&str; 2]) {
    let [first, last] = names.map(|name| Some((name.to_string(), u32::try_from(roles::vocab_id(file, name)?).ok()?)));
    add_template_processing(file, first, last);
}
