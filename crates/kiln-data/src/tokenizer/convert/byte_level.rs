//! Byte-level BPE (GPT-2): `vocab.json` with `merges.txt`, and GGUF's `gpt2` vocabularies.
//!
//! `vocab.json` is an object of token names and ids in the byte-level alphabet. `merges.txt` has one merge on each
//! line, the two tokens separated by a space, after a line `#version: …`.

use super::{
    GgufTokenizer,
    pre_tokenizers::{self, PreTokenization},
    to_gguf::unsupported,
    tokenizer_json,
};
use crate::{DataError, tokenizer::tokenizer_json::merge_pair};
use serde_json::{Map, Value, json};

/// The `tokenizer.json` of tokens in the order of their ids and merges in their order.
///
/// # Errors
/// [`DataError::Tokenizer`] for duplicate tokens.
pub(super) fn from_lists(tokens: &[String], merges: &[String], pre: &PreTokenization) -> Result<Value, DataError> {
    let vocab: Map<String, Value> = tokens.iter().zip(0u32..).map(|(token, id)| (token.clone(), id.into())).collect();
    if vocab.len() != tokens.len() {
        let num_duplicates = tokens.len() - vocab.len();
        let reason = format!("{num_duplicates} of {} tokens are duplicates, expected distinct tokens", tokens.len());
        return Err(DataError::tokenizer(reason));
    }
    Ok(build_json(vocab, merges, pre))
}

fn build_json(vocab: Map<String, Value>, merges: &[String], pre: &PreTokenization) -> Value {
    let model = json!({
        "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
        "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": pre.ignore_merges,
        "vocab": vocab, "merges": merges,
    });
    let decoder = json!({ "type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true });
    tokenizer_json(model, pre.normalizer.clone(), pre.pre_tokenizer.clone(), decoder)
}

/// The merges of a `merges.txt`, in order: lines without the version line and empty lines.
pub fn parse_merges_txt(text: &str) -> Vec<String> {
    let lines = text.lines().enumerate().filter(|(i, line)| !(*i == 0 && line.starts_with("#version")));
    lines.filter(|(_, line)| !line.is_empty()).map(|(_, line)| line.trim_end().to_string()).collect()
}

/// GGUF metadata of a byte-level BPE `tokenizer.json`; `base` has its tokens and roles.
///
/// # Errors
/// [`DataError::UnsupportedByGguf`] if no value of `tokenizer.ggml.pre` describes its pre-tokenizer and normalizer, if
/// tokens have a prefix or suffix, or if there are no merges.
pub(super) fn to_gguf(file: &Value, base: GgufTokenizer) -> Result<GgufTokenizer, DataError> {
    let model = &file["model"];
    for key in ["continuing_subword_prefix", "end_of_word_suffix"] {
        if model[key].as_str().is_some_and(|text| !text.is_empty()) {
            return Err(unsupported(format!("`model.{key}` is {}, expected null", model[key])));
        }
    }
    let Some(pre) = pre_tokenizers::name_of(file) else {
        let names = pre_tokenizers::PRE_NAMES.join(", ");
        return Err(unsupported(format!("`normalizer` and `pre_tokenizer` match none of {names}")));
    };
    let merges = model["merges"].as_array().into_iter().flatten().filter_map(merge_pair);
    let merges: Vec<String> = merges.map(|(left, right)| format!("{left} {right}")).collect();
    if merges.is_empty() {
        return Err(unsupported("`model.merges` is empty"));
    }
    Ok(GgufTokenizer { model: "gpt2".into(), pre: Some(pre.into()), merges, ..base })
}
