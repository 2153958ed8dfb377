//! Byte-level BPE: a vocabulary and its merges (`vocab.json`, `merges.txt`).

use super::{
    json_parts::tokenizer_json,
    pre_tokenizers::{self, PreTokenization},
};
use crate::{DataError, tokenizer::train::tokenizer_error};
use serde_json::{Map, Value, json};

/// The `tokenizer.json` of tokens by id and merges in order.
pub(super) fn from_lists(tokens: &[String], merges: &[String], pre: &PreTokenization) -> Result<Value, DataError> {
    let vocab: Map<String, Value> = tokens.iter().zip(0u32..).map(|(token, id)| (token.clone(), id.into())).collect();
    if vocab.len() != tokens.len() {
        return Err(tokenizer_error(format!(
            "{} of {} tokens are there twice",
            tokens.len() - vocab.len(),
            tokens.len()
        )));
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

/// The `tokenizer.json` of a `vocab.json` and a `merges.txt`, which are GPT-2's way of writing a tokenizer down.
/// `prefix_space` puts a space before a text, as some of RoBERTa's kin do.
///
/// # Errors
/// If the vocabulary is no object of ids.
pub fn from_vocab_and_merges(vocab: &str, merges: &str, prefix_space: bool) -> Result<Value, DataError> {
    let vocab: Map<String, Value> = serde_json::from_str(vocab).map_err(tokenizer_error)?;
    let mut json = build_json(vocab, &parse_merges_txt(merges), &pre_tokenizers::from_name("gpt-2")?);
    json["pre_tokenizer"] =
        json!({ "type": "ByteLevel", "add_prefix_space": prefix_space, "trim_offsets": true, "use_regex": true });
    Ok(json)
}

/// The merges of a `merges.txt`: a line each, after a line with the version.
pub fn parse_merges_txt(text: &str) -> Vec<String> {
    let lines =
        text.lines().enumerate().filter(|(i, line)| !(line.is_empty() || *i == 0 && line.starts_with("#version")));
    lines.map(|(_, line)| line.trim_end().to_string()).collect()
}
