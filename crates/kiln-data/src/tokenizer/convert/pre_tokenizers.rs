//! How byte-level vocabularies cut text into words, by the names that GGUF files use (`tokenizer.ggml.pre`).
//!
//! The expressions are those of the tokenizers that the names stand for.

use super::json_parts::{regex_split, sequence};
use crate::{DataError, tokenizer::train::tokenizer_error};
use serde_json::{Value, json};

/// GPT-2's.
pub(super) const GPT2_REGEX: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";
const LLAMA3_REGEX: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const QWEN2_REGEX: &str =
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

const PUNCTUATION_REGEX: &str = r"[\p{P}\$\+<=>\^~\|]+";

/// Names that stand for different ways.
pub(super) const PRE_NAMES: [&str; 6] = ["gpt-2", "llama-bpe", "qwen2", "deepseek-r1-qwen", "smollm", "default"];

/// What a name stands for.
pub(super) struct PreTokenization {
    /// What is done to text before, as a `tokenizer.json` has it; null for nothing.
    pub normalizer: Value,
    /// The pre-tokenizer, as a `tokenizer.json` has it.
    pub pre_tokenizer: Value,
    /// Whether a word that is a token is one, whatever the merges say.
    pub ignore_merges: bool,
}

fn byte_level_step() -> Value {
    json!({ "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false })
}

fn with_byte_level(parts: Vec<Value>, ignore_merges: bool) -> PreTokenization {
    let parts = parts.into_iter().chain([byte_level_step()]).collect();
    PreTokenization { normalizer: Value::Null, pre_tokenizer: sequence("pretokenizers", parts), ignore_merges }
}

fn isolated_split(pattern: &str) -> Value {
    regex_split(pattern, "Isolated")
}

/// What the name stands for.
///
/// # Errors
/// If Kiln doesn't know it: a wrong guess would be seen by nobody.
pub(super) fn from_name(name: &str) -> Result<PreTokenization, DataError> {
    let digits = || json!({ "type": "Digits", "individual_digits": true });
    Ok(match name {
        "gpt-2" | "phi-2" | "roberta-bpe" | "jina-v2-code" | "mpt" | "olmo" => {
            // The step to bytes has the expression built in.
            let mut pre_tokenizer = byte_level_step();
            pre_tokenizer["use_regex"] = true.into();
            PreTokenization { normalizer: Value::Null, pre_tokenizer, ignore_merges: false }
        }
        "llama-bpe" | "llama3" | "llama-v3" => with_byte_level(vec![isolated_split(LLAMA3_REGEX)], true),
        "qwen2" => PreTokenization {
            normalizer: json!({ "type": "NFC" }),
            ..with_byte_level(vec![isolated_split(QWEN2_REGEX)], false)
        },
        "stablelm2" | "deepseek-r1-qwen" => with_byte_level(vec![isolated_split(QWEN2_REGEX)], false),
        "smollm" | "starcoder" | "refact" | "command-r" | "codeshell" => {
            with_byte_level(vec![digits(), isolated_split(GPT2_REGEX)], false)
        }
        "default" => with_byte_level(
            vec![
                isolated_split(PUNCTUATION_REGEX),
                isolated_split(GPT2_REGEX),
                isolated_split(r"\p{N}+"),
                isolated_split("[0-9][0-9][0-9]"),
            ],
            false,
        ),
        other => {
            let known = "gpt-2, llama-bpe, qwen2, smollm, default and those that are the same";
            return Err(tokenizer_error(format!(
                "it cuts words in a way that is called `{other}`: Kiln knows {known}"
            )));
        }
    })
}

/// The name of how a byte-level `tokenizer.json` prepares and cuts text, if it has one. Whether merges are ignored is
/// another question: it matters for tokens alone that no merges make.
pub(super) fn name_of(file: &Value) -> Option<&'static str> {
    let form = |normalizer: &Value, cut: &Value| Some((list_steps(normalizer, "normalizers"), normalized_steps(cut)?));
    let found = form(&file["normalizer"], &file["pre_tokenizer"])?;
    let known = |name: &str| from_name(name).ok().and_then(|known| form(&known.normalizer, &known.pre_tokenizer));
    PRE_NAMES.into_iter().find(|name| known(name).as_ref() == Some(&found))
}

/// A part as its steps.
fn list_steps(part: &Value, list: &str) -> Vec<Value> {
    match part[list].as_array() {
        Some(steps) => steps.clone(),
        None => Some(part.clone()).filter(|part| !part.is_null()).into_iter().collect(),
    }
}

/// A pre-tokenizer's steps up to the bytes, each in one form; none if the last isn't that to bytes, or a space is put
/// before.
fn normalized_steps(pre_tokenizer: &Value) -> Option<Vec<Value>> {
    let mut steps = list_steps(pre_tokenizer, "pretokenizers");
    let last = steps.pop()?;
    if last["type"] != "ByteLevel" || last["add_prefix_space"] == true {
        return None;
    }
    let built_in = (last["use_regex"] != false).then(|| isolated_split(GPT2_REGEX));
    for step in &mut steps {
        // Both say that what matches stands alone.
        if step["invert"].is_null() && step["type"] == "Split" {
            step["invert"] = false.into();
        }
    }
    Some(steps.into_iter().chain(built_in).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_found_by_what_it_stands_for() {
        for name in PRE_NAMES {
            let pre = from_name(name).unwrap();
            let file = json!({ "normalizer": pre.normalizer, "pre_tokenizer": pre.pre_tokenizer });
            assert_eq!(name_of(&file), Some(name));
        }
        // As SmolLM's own file says it, with the expression built into the step to bytes.
        let bytes = |space: bool| json!({ "type": "ByteLevel", "add_prefix_space": space, "use_regex": true });
        let digits = |each: bool| json!({ "type": "Digits", "individual_digits": each });
        let file = |parts: &[Value]| json!({ "pre_tokenizer": { "type": "Sequence", "pretokenizers": parts } });
        assert_eq!(name_of(&file(&[digits(true), bytes(false)])), Some("smollm"));
        for other in [vec![digits(false), bytes(false)], vec![digits(true), bytes(true)], vec![digits(true)], vec![]] {
            assert_eq!(name_of(&file(&other)), None, "{other:?}");
        }
    }
}
