//! Folders in every layout give the ids, roles and texts of `AutoTokenizer`. `tools/fixtures_tokenizer_files.py` writes
//! the cases: four kinds of vocabularies, in one file, another one, or both, with files beside them that extend or
//! contradict them.

use super::super::{super::fixtures::read_from, *};
use crate::{
    MemoryFiles,
    tokenizer::{EncodeOptions, charsmap},
};
use std::{collections::BTreeMap, path::PathBuf};

const KINDS: [&str; 5] = ["byte_level", "wordpiece", "unigram", "spm_bpe", "spm_bpe_classes"];

fn fixture(kind: &str) -> Value {
    let folder: PathBuf = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/tokenizer_files").into();
    read_from(&folder, &format!("{kind}.json"))
}

/// The bytes of a stored file: JSON, text, or bytes as base64.
fn contents(stored: &Value) -> Vec<u8> {
    match (stored["base64"].as_str(), stored.as_str()) {
        (Some(encoded), _) => charsmap::decode_base64(encoded).unwrap(),
        (_, Some(text)) => text.into(),
        _ => stored.to_string().into(),
    }
}

/// The files of a case by name.
fn files(fixture: &Value, case: &Value) -> BTreeMap<String, Vec<u8>> {
    let names = case["files"].as_object().unwrap();
    names.iter().map(|(name, key)| (name.clone(), contents(&fixture["files"][key.as_str().unwrap()]))).collect()
}

fn load(files: &BTreeMap<String, Vec<u8>>) -> Result<Tokenizer, DataError> {
    from_files(&files.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect::<MemoryFiles>())
}

fn ids(value: &Value) -> Vec<u32> {
    value.as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect()
}

/// The first difference between a tokenizer and the results of the reference.
fn difference(tokenizer: &Tokenizer, fixture: &Value, case: &Value) -> Option<String> {
    if case["size"] != tokenizer.vocab_size() {
        return Some(format!("{} tokens, expected {}", tokenizer.vocab_size(), case["size"]));
    }
    let roles = roles::ROLE_NAMES.into_iter().zip(tokenizer.token_roles().slots());
    for (role, id) in roles {
        let expected = case["roles"][role].as_u64();
        if expected.is_some() && expected != id.map(u64::from) {
            return Some(format!("{role} is {id:?}, expected {expected:?}"));
        }
    }
    let results = fixture["results"][case["result"].as_str().unwrap()].as_array().unwrap();
    for (text, result) in fixture["texts"].as_array().unwrap().iter().zip(results) {
        let text = text.as_str().unwrap();
        let expected = ids(&result[0]);
        let found = tokenizer.encode_for_model(text, None, &EncodeOptions::default()).unwrap().ids;
        if found != expected {
            return Some(format!("{text:?} is {found:?}, expected {expected:?}"));
        }
        let plain = if result[1].is_array() { ids(&result[1]) } else { expected.clone() };
        if tokenizer.encode(text) != plain {
            return Some(format!("{text:?} without added tokens is {:?}, expected {plain:?}", tokenizer.encode(text)));
        }
        let decoded = tokenizer.decode(&expected).unwrap();
        if decoded != result[2].as_str().unwrap() {
            return Some(format!("{text:?} decodes to {decoded:?}, expected {}", result[2]));
        }
    }
    None
}

#[test]
fn folders_give_the_results_of_the_reference() {
    let mut failures = Vec::new();
    let mut num_cases = 0;
    for kind in KINDS {
        let fixture = fixture(kind);
        for case in fixture["cases"].as_array().unwrap() {
            num_cases += 1;
            let difference = match load(&files(&fixture, case)) {
                Ok(tokenizer) => difference(&tokenizer, &fixture, case),
                Err(error) => Some(error.to_string()),
            };
            failures.extend(difference.map(|what| format!("{kind}: {} ({}): {what}", case["name"], case["class"])));
        }
    }
    assert!(num_cases > 400, "{num_cases} cases");
    let shown = failures.iter().take(40).map(String::as_str).collect::<Vec<_>>().join("\n");
    assert!(failures.is_empty(), "{} of {num_cases} cases differ:\n{shown}", failures.len());
}

/// A saved tokenizer, read from its `tokenizer.json` alone, gives the same ids and texts.
#[test]
fn one_tokenizer_json_keeps_what_the_files_beside_it_say() {
    for kind in KINDS {
        let fixture = fixture(kind);
        for case in fixture["cases"].as_array().unwrap().iter().step_by(5) {
            let tokenizer = load(&files(&fixture, case)).unwrap();
            let saved = Tokenizer::from_json(tokenizer.to_json()).unwrap();
            assert_eq!(difference(&saved, &fixture, case), None, "{kind}: {}", case["name"]);
        }
    }
}

/// The text of a sequence is that of its beginning followed by the continuation, wherever it is divided.
#[test]
fn a_continuation_completes_the_text_of_its_beginning() {
    let mut num_compared = 0;
    for kind in KINDS {
        let fixture = fixture(kind);
        for case in fixture["cases"].as_array().unwrap().iter().step_by(4) {
            let tokenizer = load(&files(&fixture, case)).unwrap();
            for text in fixture["texts"].as_array().unwrap() {
                let ids = tokenizer.encode(text.as_str().unwrap());
                let whole = tokenizer.decode(&ids).unwrap();
                for at in 0..=ids.len() {
                    let (beginning, rest) = ids.split_at(at);
                    let before = tokenizer.decode(beginning).unwrap();
                    // The text of incomplete characters, or before a removed space, is another one.
                    let Some(expected) = whole.strip_prefix(&before) else { continue };
                    let continuation = tokenizer.decode_continuation(beginning, rest).unwrap();
                    assert_eq!(continuation, expected, "{kind}: {}: {text} at {at}", case["name"]);
                    num_compared += 1;
                }
            }
        }
    }
    assert!(num_compared > 10_000, "{num_compared} divided texts");
}
