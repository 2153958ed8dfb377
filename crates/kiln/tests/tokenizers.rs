//! Recipes that name a tokenizer of others: they train, write, and go on.

mod common;

use common::{beside, computed, done, kiln};
use serde_json::Value;
use std::{fs, path::Path};
use tempfile::TempDir;

fn reference(name: &str) -> Value {
    let file = beside("kiln-data/fixtures/tokenizers").join(format!("{name}.cases.json"));
    serde_json::from_slice::<Value>(&fs::read(file).unwrap()).unwrap()["tokenizer"].take()
}

/// In `words.json` what another program wrote, in `gpt` a vocabulary with its merges, in `spm.model` SentencePiece's.
fn home() -> TempDir {
    let home = tempfile::tempdir().unwrap();
    let here = home.path();
    fs::write(here.join("words.json"), reference("wordpiece_cased").to_string()).unwrap();
    let level = reference("byte_level");
    fs::create_dir(here.join("gpt")).unwrap();
    fs::write(here.join("gpt/vocab.json"), level["model"]["vocab"].to_string()).unwrap();
    let pair = |pair: &Value| format!("{} {}\n", pair[0].as_str().unwrap(), pair[1].as_str().unwrap());
    let merges: String = level["model"]["merges"].as_array().unwrap().iter().map(pair).collect();
    fs::write(here.join("gpt/merges.txt"), format!("#version: 0.2\n{merges}")).unwrap();
    fs::copy(beside("kiln-data/fixtures/tokenizers/spm_bpe.model"), here.join("spm.model")).unwrap();
    recipe(here, "words.json");
    home
}

/// Writes the tiny recipe with this tokenizer.
fn recipe(here: &Path, path: &str) {
    let named = format!("tokenizer = {{ file = {{ path = \"{path}\" }} }}");
    let text = common::TINY.replace("tokenizer = \"byte\"", &named);
    assert!(text.contains(&named));
    fs::write(here.join("tiny.toml"), text).unwrap();
}

#[test]
fn a_run_takes_its_tokenizer_from_a_file_and_keeps_it() {
    let home = home();
    let here = home.path();
    fs::create_dir(here.join("other")).unwrap();
    for path in ["words.json", "gpt", "spm.model"] {
        recipe(here, path);
        let encode = |model: &str| {
            let args = ["tokenizer", "encode", model, "--text", "Ann had a red kite, naïvely.", "--json"];
            kiln(here, &args).well().json()
        };
        let wanted = encode(path);
        let found = kiln(here, &["train", "tiny.toml", "--out", "whole", "--json"]).well().json();
        assert!(found["validation_loss"].as_f64().is_some_and(f64::is_finite), "{path}: {found}");
        assert_eq!(encode("whole"), wanted, "{path}");
        let written = kiln(here, &["generate", "whole", "--prompt", "Ann", "--tokens", "4", "--json"]).well().json();
        assert!(written["ids"].is_array() && written["text"].is_string(), "{path}: {written}");
        // It goes on from any folder, before the tokenizer was kept and after that.
        for kept in [false, true] {
            kiln(here, &["train", "tiny.toml", "--out", "half"]).well();
            if kept {
                fs::remove_dir_all(here.join("half/stages/0-pretrain/checkpoints/step-000006")).unwrap();
            } else {
                fs::remove_dir_all(here.join("half/stages")).unwrap();
                fs::remove_file(here.join("half/tokenizer.json")).unwrap();
            }
            kiln(&here.join("other"), &["train", "--resume", "../half"]).well();
            assert_eq!(computed(&here.join("half")), computed(&here.join("whole")), "{path}");
            fs::remove_dir_all(here.join("half")).unwrap();
        }
        fs::remove_dir_all(here.join("whole")).unwrap();
    }
}

#[test]
fn a_tokenizer_that_can_not_be_had_is_refused_before_anything_is_written() {
    let home = home();
    let here = home.path();
    fs::write(here.join("broken.json"), &reference("wordpiece_cased").to_string()[..999]).unwrap();
    fs::create_dir(here.join("bare")).unwrap();
    let asked = |path: &str, code: i32, words: &[&str]| {
        let before = common::tree(here);
        let done = kiln(here, &["train", "tiny.toml", "--set", &format!("tokenizer={path}"), "--out", "run", "--json"]);
        assert_eq!(done.code, Some(code), "{path}: {done:?}");
        words.iter().for_each(|word| assert!(done.err.contains(word), "{path}: `{word}` is not in {done:?}"));
        assert_eq!(common::tree(here), before, "{path}");
    };
    let file = |path: &str| format!("{{ file = {{ path = \"{path}\" }} }}");
    asked(&file("nowhere.json"), 1, &["nowhere.json", "no such file"]);
    asked(&file("broken.json"), 1, &["tokenizer"]);
    asked(&file("bare"), 1, &["bare", "vocab.json with merges.txt"]);
    asked("file", 2, &["path"]);
    asked("{ file = { paht = \"x\" } }", 2, &["paht", "did you mean `path`?"]);
    // Where it lacks a token that the objective needs, that is said by name.
    recipe(here, "gpt");
    let masked = ["train", "tiny.toml", "--set", "stages.0.objective=masked", "--out", "run", "--json"];
    let masked = done(common::command(here, &masked));
    assert!(masked.code == Some(1) && masked.err.contains("<mask>"), "{masked:?}");
}

#[test]
fn bytes_that_a_vocabulary_lacks_are_named() {
    let home = home();
    let here = home.path();
    let file = fs::read_to_string(here.join("gpt/vocab.json")).unwrap();
    let lacking = file.replace("\"\u{104}\":", "\"<unused>\":");
    assert_ne!(file, lacking, "U+0004 as byte-level vocabularies spell it");
    fs::write(here.join("gpt/vocab.json"), lacking).unwrap();
    let encode = |text: &str| kiln(here, &["tokenizer", "encode", "gpt", "--text", text]).well();
    assert!(encode("a\u{4}b").err.contains("0x04"));
    assert_eq!(encode("ab").err, "");
}
