//! Models whose tokenizers have more tokens than the model has rows (`tools/fixtures_vocabulary.py`).

use crate::common::{CommandResult, run_kiln};
use serde_json::{Value, json};
use std::{fs, path::Path};
use tempfile::TempDir;

/// A folder with the models `added` and `mask`.
fn home() -> TempDir {
    let home = tempfile::tempdir().unwrap();
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/vocabulary");
    for model in ["added", "mask"] {
        fs::create_dir(home.path().join(model)).unwrap();
        for file in fs::read_dir(fixtures.join(model)).unwrap().map(|entry| entry.unwrap().path()) {
            fs::copy(&file, home.path().join(model).join(file.file_name().unwrap())).unwrap();
        }
    }
    fs::write(home.path().join("text.txt"), "Ann has a cat. The cat has a hat.\n".repeat(200)).unwrap();
    home
}

fn expected() -> Value {
    serde_json::from_str(include_str!("../fixtures/vocabulary/expected.json")).unwrap()
}

/// Asserts that a command fails because the model has no row for a token.
#[track_caller]
fn assert_no_row(result: &CommandResult, token: &str, id: u64, rows: u64) {
    let last = rows - 1;
    let message = format!("the token `{token}` (id {id}) has no row in the model, which has {rows}: ids 0 to {last}");
    assert!(result.exit_code == Some(1) && result.stderr.contains(&message), "{result:?}");
    assert!(result.stderr.contains("leave the token out"), "{result:?}");
}

const TRAIN: [&str; 8] =
    ["train", "--data", "text.txt", "--steps", "2", "--set", "stages.0.sequence_length=32", "--from"];

#[test]
fn a_tokenizer_with_more_tokens_generates_what_the_reference_generates() {
    let home = home();
    for (prompt, ids) in expected()["added"]["greedy"].as_object().unwrap() {
        let args = ["generate", "added", "--prompt", prompt, "--temperature", "0", "--tokens", "8", "--json"];
        let result = run_kiln(home.path(), &args).expect_success();
        assert_eq!(result.json_output()["ids"], *ids, "{prompt}");
    }
    let eval = run_kiln(home.path(), &["eval", "added", "--data", "text.txt", "--json"]).expect_success();
    assert!(eval.json_output()["loss"].as_f64().is_some_and(f64::is_finite));
    let embedded = run_kiln(home.path(), &["embed", "mask", "--text", "ann has a cat", "--json"]).expect_success();
    assert_eq!(embedded.json_output()["shape"], json!([1, 16]));
}

#[test]
fn a_token_without_a_row_is_an_error_when_it_is_used() {
    let home = home();
    let expected = expected();
    let [added, mask] = ["added", "mask"].map(|model| expected[model]["rows"].as_u64().unwrap());
    let run = |args: &[&str]| run_kiln(home.path(), args);
    assert_no_row(&run(&["generate", "added", "--prompt", "a <tool>"]), "<tool>", added + 1, added);
    assert_no_row(&run(&["generate", "added", "--prompt", "a zebra"]), "zebra", added + 2, added);
    assert_no_row(&run(&["embed", "added", "--text", "a zebra"]), "zebra", added + 2, added);
    assert_no_row(&run(&["inspect", "added", "--text", "a zebra", "--out", "x.html"]), "zebra", added + 2, added);
    assert_no_row(&run(&["generate", "mask", "--prompt", "ann has a ___"]), "[MASK]", mask, mask);
    // The objective inserts the token. Its error has Kiln's name of it.
    assert_no_row(&run(&["eval", "mask", "--data", "text.txt"]), "<mask>", mask, mask);
    let masked = run(&[&TRAIN[..], &["mask", "--set", "stages.0.objective=masked"]].concat());
    assert_no_row(&masked, "<mask>", mask, mask);
    fs::write(home.path().join("text.txt"), "Ann has a <tool> and a zebra.\n".repeat(200)).unwrap();
    assert_no_row(&run(&["eval", "added", "--data", "text.txt"]), "<tool>", added + 1, added);
    assert_no_row(&run(&[&TRAIN[..], &["added"]].concat()), "<tool>", added + 1, added);
}

/// The padding token of the tokenizer has no row; documents are shorter than a sequence.
#[test]
fn a_run_starts_from_such_a_model_and_is_exported() {
    let home = home();
    run_kiln(home.path(), &[&TRAIN[..], &["added", "--out", "run"]].concat()).expect_success();
    run_kiln(home.path(), &["export", "run", "--format", "hf", "--out", "hf"]).expect_success();
    let gguf = run_kiln(home.path(), &["export", "run", "--format", "gguf", "--out", "run.gguf"]).expect_success();
    let left_out = "warning: the GGUF file leaves out tokens for which the model has no row: [PAD], <tool>, zebra";
    assert!(gguf.stderr.contains(left_out), "{gguf:?}");
    let generated = ["run", "hf", "run.gguf"].map(|model| {
        let args = ["generate", model, "--prompt", "The cat", "--temperature", "0", "--tokens", "8", "--json"];
        run_kiln(home.path(), &args).expect_success().json_output()["ids"].clone()
    });
    assert!(generated[0] == generated[1] && generated[0] == generated[2], "{generated:?}");
    let rows = expected()["added"]["rows"].as_u64().unwrap();
    assert_no_row(&run_kiln(home.path(), &["generate", "hf", "--prompt", "a zebra"]), "zebra", rows + 2, rows);
    // Without the token, the file reads its letters.
    run_kiln(home.path(), &["generate", "run.gguf", "--prompt", "a zebra", "--tokens", "2"]).expect_success();
}

#[test]
fn a_decoder_that_starts_with_a_token_without_a_row_is_an_error() {
    let home = tempfile::tempdir().unwrap();
    let t5 = Path::new(env!("CARGO_MANIFEST_DIR")).join("../kiln-laws/fixtures/hf-encoders/t5-tied");
    let mut config: Value = serde_json::from_slice(&fs::read(t5.join("config.json")).unwrap()).unwrap();
    config["decoder_start_token_id"] = 7777.into();
    fs::write(home.path().join("config.json"), config.to_string()).unwrap();
    fs::copy(t5.join("model.safetensors"), home.path().join("model.safetensors")).unwrap();
    let failed = run_kiln(home.path(), &["logits", ".", "--ids", "5,6"]);
    assert_eq!(failed.exit_code, Some(1), "{failed:?}");
    assert!(failed.stderr.contains("decoder_start_token_id is 7777, but the model has ids from 0 to"), "{failed:?}");
    run_kiln(home.path(), &["logits", ".", "--ids", "5,6", "--decoder-ids", "1"]).expect_success();
}
