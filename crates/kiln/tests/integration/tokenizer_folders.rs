//! Tokenizer folders whose files extend or contradict each other, as `kiln tokenizer` reads them.

use crate::common::{crate_path, run_kiln, trained_home};
use serde_json::{Value, json};
use std::{fs, path::Path};

/// A folder with the vocabulary of GPT-2's kind and these other files.
fn write_folder(folder: &Path, others: &[(&str, Value)]) -> u64 {
    let file = crate_path("kiln-data/fixtures/tokenizers/byte_level.cases.json");
    let model = serde_json::from_slice::<Value>(&fs::read(file).unwrap()).unwrap()["tokenizer"]["model"].take();
    let pairs = model["merges"].as_array().unwrap().iter();
    let merges: String =
        pairs.map(|pair| format!("{} {}\n", pair[0].as_str().unwrap(), pair[1].as_str().unwrap())).collect();
    fs::create_dir_all(folder).unwrap();
    fs::write(folder.join("vocab.json"), model["vocab"].to_string()).unwrap();
    fs::write(folder.join("merges.txt"), merges).unwrap();
    for (name, contents) in others {
        fs::write(folder.join(name), contents.to_string()).unwrap();
    }
    model["vocab"].as_object().unwrap().len() as u64
}

fn encode(home: &Path, folder: &str, text: &str) -> (Value, String) {
    let done = run_kiln(home, &["tokenizer", "encode", folder, "--text", text, "--json"]).expect_success();
    (done.json_output(), done.stderr)
}

#[test]
fn added_tokens_keep_their_ids_and_are_single_tokens() {
    let home = tempfile::tempdir().unwrap();
    let here = home.path();
    let config = json!({ "tokenizer_class": "GPT2Tokenizer", "eos_token": "<|im_end|>" });
    let size = write_folder(&here.join("bare"), &[]);
    let added = json!({ "<|im_start|>": size, "<|im_end|>": size + 1 });
    write_folder(&here.join("chat"), &[("tokenizer_config.json", config.clone()), ("added_tokens.json", added)]);
    let (encoding, warnings) = encode(here, "chat", "<|im_start|>é<|im_end|>");
    assert_eq!(
        (encoding["ids"][0].as_u64(), encoding["ids"].as_array().unwrap().last().unwrap()),
        (Some(size), &json!(size + 1))
    );
    assert_eq!(encoding["offsets"][0], json!([0, 12]), "in bytes");
    assert_eq!(warnings, "");
    // A gap between the ids is closed, as the reference closes it; a warning says so once.
    let added = json!({ "<|im_start|>": size, "<|im_end|>": size + 9 });
    write_folder(&here.join("gap"), &[("tokenizer_config.json", config), ("added_tokens.json", added)]);
    let (encoding, warnings) = encode(here, "gap", "<|im_end|>");
    assert_eq!(encoding["ids"], json!([size + 1]));
    assert!(warnings.contains(&format!("{} (declared: {})", size + 1, size + 9)), "{warnings}");
    assert_eq!(warnings.lines().count(), 1, "{warnings}");
}

#[test]
fn what_is_not_followed_is_said() {
    let home = tempfile::tempdir().unwrap();
    let here = home.path();
    let config = json!({ "tokenizer_class": "CLIPTokenizer", "split_special_tokens": true });
    write_folder(&here.join("other"), &[("tokenizer_config.json", config)]);
    let (_, warnings) = encode(here, "other", "a");
    assert!(warnings.contains("CLIPTokenizer") && warnings.contains("split_special_tokens"), "{warnings}");
    let wrong = json!({ "tokenizer_class": "GPT2Tokenizer", "eos_token": 7 });
    write_folder(&here.join("wrong"), &[("tokenizer_config.json", wrong)]);
    let done = run_kiln(here, &["tokenizer", "encode", "wrong", "--text", "a", "--json"]);
    assert_eq!(done.exit_code, Some(1));
    assert!(done.stderr.contains("`eos_token` is 7") && done.stderr.contains("wrong"), "{done:?}");
}

#[test]
fn ids_without_a_token_decode_to_nothing() {
    let home = trained_home();
    let decode =
        |ids: &str| run_kiln(home.path(), &["tokenizer", "decode", "run", "--ids", ids, "--json"]).expect_success();
    let plain = decode("110,120");
    let with_others = decode("110,900,120,4294967295");
    assert_eq!(with_others.json_output(), plain.json_output());
    assert_eq!(plain.stderr, "");
    assert!(with_others.stderr.contains("900, 4294967295"), "{}", with_others.stderr);
}
