//! What GGUF files call a way of cutting text into words, from the way itself.

use super::{pre, pre::GPT2};
use serde_json::{Value, json};

/// Names that stand for different ways.
const NAMES: [&str; 5] = ["gpt-2", "llama-bpe", "qwen2", "smollm", "default"];

/// The name (`tokenizer.ggml.pre`) of how a byte-level `tokenizer.json` cuts text, if it has one.
pub fn pre_name(file: &Value) -> Option<&'static str> {
    let found = plain(&file["pre_tokenizer"])?;
    let ignores = file["model"]["ignore_merges"] == true;
    NAMES.into_iter().find(|name| {
        let known = pre::by_name(name).ok();
        known
            .is_some_and(|known| known.ignore_merges == ignores && plain(&known.pre_tokenizer).as_ref() == Some(&found))
    })
}

/// Its steps up to the bytes, each in one form; none if the last isn't that to bytes, or a space is put before.
fn plain(pre_tokenizer: &Value) -> Option<Vec<Value>> {
    let one = std::slice::from_ref(pre_tokenizer);
    let steps = if pre_tokenizer["type"] == "Sequence" { pre_tokenizer["pretokenizers"].as_array()? } else { one };
    let (last, before) = steps.split_last()?;
    if last["type"] != "ByteLevel" || last["add_prefix_space"] == true {
        return None;
    }
    let words = (last["use_regex"] != false).then(|| cut(GPT2));
    Some(before.iter().map(step).chain(words).collect())
}

fn step(step: &Value) -> Value {
    match step["pattern"]["Regex"].as_str() {
        Some(pattern) if step["behavior"] == "Isolated" && step["invert"] != true => cut(pattern),
        _ => step.clone(),
    }
}

fn cut(pattern: &str) -> Value {
    json!({ "cut": pattern })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_found_by_what_it_stands_for() {
        for name in NAMES {
            let pre = pre::by_name(name).unwrap();
            let file = |pre_tokenizer: &Value, ignores: bool| json!({ "pre_tokenizer": pre_tokenizer, "model": { "ignore_merges": ignores } });
            assert_eq!(pre_name(&file(&pre.pre_tokenizer, pre.ignore_merges)), Some(name));
            assert_eq!(pre_name(&file(&pre.pre_tokenizer, !pre.ignore_merges)), None, "{name}");
        }
        // As SmolLM's own file says it, with the expression built into the step to bytes.
        let bytes = |space: bool| json!({ "type": "ByteLevel", "add_prefix_space": space, "use_regex": true });
        let digits = |each: bool| json!({ "type": "Digits", "individual_digits": each });
        let file = |parts: &[Value]| json!({ "pre_tokenizer": { "type": "Sequence", "pretokenizers": parts } });
        assert_eq!(pre_name(&file(&[digits(true), bytes(false)])), Some("smollm"));
        for other in [vec![digits(false), bytes(false)], vec![digits(true), bytes(true)], vec![digits(true)], vec![]] {
            assert_eq!(pre_name(&file(&other)), None, "{other:?}");
        }
    }
}
