//! How byte-level vocabularies cut text into words, by the names that GGUF files use (`tokenizer.ggml.pre`).
//!
//! The expressions are those of the tokenizers that the names stand for.

use super::parts::{sequence, split};
use crate::{DataError, tokenizer::train::broken};
use serde_json::{Value, json};

/// GPT-2's.
pub(super) const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";
const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const QWEN2: &str =
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

const SIGNS: &str = r"[\p{P}\$\+<=>\^~\|]+";

/// What a name stands for.
pub(super) struct Pre {
    /// The pre-tokenizer, as a `tokenizer.json` has it.
    pub pre_tokenizer: Value,
    /// Whether a word that is a token is one, whatever the merges say.
    pub ignore_merges: bool,
}

fn bytes() -> Value {
    json!({ "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false })
}

fn cut(parts: Vec<Value>, ignore_merges: bool) -> Pre {
    let parts = parts.into_iter().chain([bytes()]).collect();
    Pre { pre_tokenizer: sequence("pretokenizers", parts), ignore_merges }
}

fn words(pattern: &str) -> Value {
    split(pattern, "Isolated")
}

/// What the name stands for.
///
/// # Errors
/// If Kiln doesn't know it: a wrong guess would be seen by nobody.
pub(super) fn by_name(name: &str) -> Result<Pre, DataError> {
    let digits = || json!({ "type": "Digits", "individual_digits": true });
    Ok(match name {
        "gpt-2" | "phi-2" | "roberta-bpe" | "jina-v2-code" | "mpt" | "olmo" => {
            // The step to bytes has the expression built in.
            let mut pre_tokenizer = bytes();
            pre_tokenizer["use_regex"] = true.into();
            Pre { pre_tokenizer, ignore_merges: false }
        }
        "llama-bpe" | "llama3" | "llama-v3" => cut(vec![words(LLAMA3)], true),
        "qwen2" | "stablelm2" | "deepseek-r1-qwen" => cut(vec![words(QWEN2)], false),
        "smollm" | "starcoder" | "refact" | "command-r" | "codeshell" => cut(vec![digits(), words(GPT2)], false),
        "default" => cut(vec![words(SIGNS), words(GPT2), words(r"\p{N}+"), words("[0-9][0-9][0-9]")], false),
        other => {
            let known = "gpt-2, llama-bpe, qwen2, smollm, default and those that are the same";
            return Err(broken(format!("it cuts words in a way that is called `{other}`: Kiln knows {known}")));
        }
    })
}
