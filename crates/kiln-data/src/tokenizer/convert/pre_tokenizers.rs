//! Pre-tokenizers of byte-level vocabularies by their GGUF names (`tokenizer.ggml.pre`).
//!
//! GGUF stores a name instead of the pre-tokenizer. The patterns are those of the `tokenizer.json`s that the names
//! stand for; llama.cpp has the same in `llama_vocab` (`llama-vocab.cpp`).

use super::{isolated_split, list_parts, sequence};
use crate::{DataError, tokenizer::pre_tokenizer::GPT2_REGEX};
use serde_json::{Value, json};

/// Llama 3: contractions in any case, up to three digits, line breaks with the characters before them.
const LLAMA3_REGEX: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// Qwen 2: as Llama 3 with single digits.
pub(crate) const QWEN2_REGEX: &str =
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// First step of `default`.
const PUNCTUATION_REGEX: &str = r"[\p{P}\$\+<=>\^~\|]+";

/// One name for each distinct pre-tokenizer. [`from_name`] also accepts other names of the same ones.
pub(super) const PRE_NAMES: [&str; 6] = ["gpt-2", "llama-bpe", "qwen2", "deepseek-r1-qwen", "smollm", "default"];

/// Text processing of a byte-level vocabulary before the model.
pub(super) struct PreTokenization {
    /// `normalizer` of the `tokenizer.json`, or null.
    pub normalizer: Value,
    /// `pre_tokenizer` of the `tokenizer.json`.
    pub pre_tokenizer: Value,
    /// `model.ignore_merges`: a word that is a token is not split, whatever the merges give.
    pub ignore_merges: bool,
}

/// The last step: bytes to the byte-level alphabet.
fn byte_level_step(use_regex: bool) -> Value {
    json!({ "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": use_regex })
}

/// Splits into words by `steps`, then bytes.
fn with_byte_level(steps: Vec<Value>, ignore_merges: bool) -> PreTokenization {
    let steps = steps.into_iter().chain([byte_level_step(false)]).collect();
    PreTokenization { normalizer: Value::Null, pre_tokenizer: sequence("pretokenizers", steps), ignore_merges }
}

/// The pre-tokenizer of a name.
///
/// # Errors
/// [`DataError::Tokenizer`] for an unsupported name. There is no fallback: a wrong pre-tokenizer gives slightly wrong
/// ids, and the model's output degrades without an error.
pub(super) fn from_name(name: &str) -> Result<PreTokenization, DataError> {
    Ok(match name {
        "gpt-2" | "phi-2" | "roberta-bpe" | "jina-v2-code" | "mpt" | "olmo" => {
            let pre_tokenizer = byte_level_step(true);
            PreTokenization { normalizer: Value::Null, pre_tokenizer, ignore_merges: false }
        }
        "llama-bpe" | "llama3" | "llama-v3" => with_byte_level(vec![isolated_split(LLAMA3_REGEX)], true),
        "qwen2" => PreTokenization {
            normalizer: json!({ "type": "NFC" }),
            ..with_byte_level(vec![isolated_split(QWEN2_REGEX)], false)
        },
        "stablelm2" | "deepseek-r1-qwen" => with_byte_level(vec![isolated_split(QWEN2_REGEX)], false),
        "smollm" | "starcoder" | "refact" | "command-r" | "codeshell" => {
            let digits = json!({ "type": "Digits", "individual_digits": true });
            with_byte_level(vec![digits, isolated_split(GPT2_REGEX)], false)
        }
        "default" => {
            let patterns = [PUNCTUATION_REGEX, GPT2_REGEX, r"\p{N}+", "[0-9][0-9][0-9]"];
            with_byte_level(patterns.map(isolated_split).into(), false)
        }
        other => {
            let names = PRE_NAMES.join(", ");
            let reason = format!("unsupported `tokenizer.ggml.pre` {other:?}; supported: {names}, and their aliases");
            return Err(DataError::tokenizer(reason));
        }
    })
}

/// The name in [`PRE_NAMES`] of the normalizer and pre-tokenizer of a `tokenizer.json`; `None` if none describes them.
/// `ignore_merges` is not compared: it only matters for tokens that no merge makes, and
/// [`GgufTokenizer::from_tokenizer`](super::GgufTokenizer::from_tokenizer) encodes all tokens for comparison.
pub(super) fn name_of(file: &Value) -> Option<&'static str> {
    let steps = all_steps(&file["normalizer"], &file["pre_tokenizer"])?;
    PRE_NAMES.into_iter().find(|name| {
        let known = from_name(name).ok();
        known.and_then(|known| all_steps(&known.normalizer, &known.pre_tokenizer)).as_ref() == Some(&steps)
    })
}

/// The steps of a normalizer and of a pre-tokenizer, in a form in which equal ones compare equal.
fn all_steps(normalizer: &Value, pre_tokenizer: &Value) -> Option<[Vec<Value>; 2]> {
    Some([list_parts(normalizer, "normalizers"), pre_tokenizer_steps(pre_tokenizer)?])
}

/// The steps of a pre-tokenizer before `ByteLevel`; the pattern of `ByteLevel` is a step of its own. `None` if the last
/// step is not `ByteLevel`, or adds a space.
fn pre_tokenizer_steps(pre_tokenizer: &Value) -> Option<Vec<Value>> {
    let mut steps = list_parts(pre_tokenizer, "pretokenizers");
    let last = steps.pop()?;
    if last["type"] != "ByteLevel" || last["add_prefix_space"] == true {
        return None;
    }
    for step in &mut steps {
        // An absent `invert` is false.
        if step["invert"].is_null() && step["type"] == "Split" {
            step["invert"] = false.into();
        }
    }
    steps.extend((last["use_regex"] != false).then(|| isolated_split(GPT2_REGEX)));
    Some(steps)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(add_prefix_space: bool) -> Value {
        json!({ "type": "ByteLevel", "add_prefix_space": add_prefix_space, "use_regex": true })
    }

    fn digits(individual: bool) -> Value {
        json!({ "type": "Digits", "individual_digits": individual })
    }

    fn file(parts: &[Value]) -> Value {
        json!({ "pre_tokenizer": { "type": "Sequence", "pretokenizers": parts } })
    }

    #[test]
    fn name_of_inverts_from_name() {
        for name in PRE_NAMES {
            let pre = from_name(name).unwrap();
            let file = json!({ "normalizer": pre.normalizer, "pre_tokenizer": pre.pre_tokenizer });
            assert_eq!(name_of(&file), Some(name));
        }
        // SmolLM's own file has GPT-2's pattern in its `ByteLevel` step.
        assert_eq!(name_of(&file(&[digits(true), bytes(false)])), Some("smollm"));
        for other in [vec![digits(false), bytes(false)], vec![digits(true), bytes(true)], vec![digits(true)], vec![]] {
            assert_eq!(name_of(&file(&other)), None, "{other:?}");
        }
    }
}
