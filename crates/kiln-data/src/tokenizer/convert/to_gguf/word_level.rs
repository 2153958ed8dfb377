//! Tokenizers that cut text into words first: byte-level BPE and WordPiece.

use super::{CONTROL, require_part_types, unsupported_error};
use crate::{
    DataError,
    tokenizer::convert::{GgufTokenizer, pre_tokenizers, wordpiece},
};
use serde_json::Value;

/// Byte-level BPE, by the name of its way to cut words.
pub(super) fn from_byte_level(file: &Value, listed: GgufTokenizer) -> Result<GgufTokenizer, DataError> {
    let model = &file["model"];
    let set = |key: &str| model[key].as_str().is_some_and(|text| !text.is_empty());
    if let Some(key) = ["continuing_subword_prefix", "end_of_word_suffix"].into_iter().find(|key| set(key)) {
        return Err(unsupported_error(format!("its tokens within words are marked (`{key}`)")));
    }
    let Some(pre) = pre_tokenizers::name_of(file) else {
        return Err(unsupported_error(format!(
            "it cuts words as none of {} does",
            pre_tokenizers::PRE_NAMES.join(", ")
        )));
    };
    let merge = |merge: &Value| match merge {
        Value::Array(pair) => pair.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" "),
        merge => merge.as_str().unwrap_or_default().to_string(),
    };
    let merges: Vec<String> = model["merges"].as_array().into_iter().flatten().map(merge).collect();
    if merges.is_empty() {
        return Err(unsupported_error("it has no merges"));
    }
    Ok(GgufTokenizer { model: "gpt2".into(), pre: Some(pre.into()), merges, ..listed })
}

/// WordPiece: what begins a word is marked instead of what goes on.
pub(super) fn from_wordpiece(file: &Value, mut listed: GgufTokenizer) -> Result<GgufTokenizer, DataError> {
    require_part_types(file, "normalizer", &["BertNormalizer"])?;
    require_part_types(file, "pre_tokenizer", &["BertPreTokenizer"])?;
    let unknown = listed.tokens.iter().position(|token| file["model"]["unk_token"] == **token);
    listed.roles.unk = unknown.map(|id| id as u32).or(listed.roles.unk);
    for (token, kind) in listed.tokens.iter_mut().zip(&listed.token_types) {
        match token.strip_prefix("##") {
            Some(rest) => *token = rest.into(),
            None if *kind == CONTROL => {}
            None => token.insert(0, '\u{2581}'),
        }
    }
    let back = wordpiece::from_gguf_tokens(&listed.tokens, &listed.roles);
    for key in ["unk_token", "continuing_subword_prefix", "max_input_chars_per_word"] {
        let (told, known) = (&file["model"][key], &back["model"][key]);
        if told != known {
            return Err(unsupported_error(format!("its `{key}` is {told}; read from one it is {known}")));
        }
    }
    if cleanup_flags(&file["normalizer"]) != cleanup_flags(&back["normalizer"]) {
        return Err(unsupported_error(format!(
            "it cleans text by {}; read from one it is {}",
            file["normalizer"], back["normalizer"]
        )));
    }
    // Other programs know what begins and ends a text by these names.
    listed.roles.bos = listed.roles.bos.or(listed.roles.cls);
    listed.roles.eos = listed.roles.eos.or(listed.roles.sep);
    Ok(GgufTokenizer { model: "bert".into(), ..listed })
}

/// What a `BertNormalizer` does; accents go with the capitals if nothing else is said.
fn cleanup_flags(normalizer: &Value) -> [Option<bool>; 4] {
    let told = |key: &str| normalizer[key].as_bool();
    let lowercase = told("lowercase");
    [told("clean_text"), told("handle_chinese_chars"), lowercase, told("strip_accents").or(lowercase)]
}
