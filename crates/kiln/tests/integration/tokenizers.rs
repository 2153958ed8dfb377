//! Recipes with a tokenizer file: they train, generate and resume.

use crate::common::{crate_path, run_command, run_kiln, run_results};
use serde_json::Value;
use std::{fs, path::Path};
use tempfile::TempDir;

fn reference(name: &str) -> Value {
    let file = crate_path("kiln-data/fixtures/tokenizers").join(format!("{name}.cases.json"));
    serde_json::from_slice::<Value>(&fs::read(file).unwrap()).unwrap()["tokenizer"].take()
}

/// In `words.json` what another program wrote, in `gpt` a vocabulary with its merges, in `spm.model` SentencePiece's.
fn tiny_home() -> TempDir {
    let home = tempfile::tempdir().unwrap();
    let here = home.path();
    fs::write(here.join("words.json"), reference("wordpiece_cased").to_string()).unwrap();
    let level = reference("byte_level");
    fs::create_dir(here.join("gpt")).unwrap();
    fs::write(here.join("gpt/vocab.json"), level["model"]["vocab"].to_string()).unwrap();
    let pair = |pair: &Value| format!("{} {}\n", pair[0].as_str().unwrap(), pair[1].as_str().unwrap());
    let merges: String = level["model"]["merges"].as_array().unwrap().iter().map(pair).collect();
    fs::write(here.join("gpt/merges.txt"), format!("#version: 0.2\n{merges}")).unwrap();
    fs::copy(crate_path("kiln-data/fixtures/tokenizers/spm_bpe.model"), here.join("spm.model")).unwrap();
    recipe(here, "words.json");
    home
}

/// Writes the tiny recipe with this tokenizer.
fn recipe(here: &Path, path: &str) {
    let named = format!("tokenizer = {{ file = {{ path = \"{path}\" }} }}");
    let text = crate::common::TINY_RECIPE.replace("tokenizer = \"byte\"", &named);
    assert!(text.contains(&named));
    fs::write(here.join("tiny.toml"), text).unwrap();
}

#[test]
fn a_run_copies_its_tokenizer_file() {
    let home = tiny_home();
    let here = home.path();
    fs::create_dir(here.join("other")).unwrap();
    for path in ["words.json", "gpt", "spm.model"] {
        recipe(here, path);
        let encode = |model: &str| {
            let args = ["tokenizer", "encode", model, "--text", "Ann had a red kite, naïvely.", "--json"];
            run_kiln(here, &args).expect_success().json_output()
        };
        let wanted = encode(path);
        let found = run_kiln(here, &["train", "tiny.toml", "--out", "whole", "--json"]).expect_success().json_output();
        assert!(found["validation_loss"].as_f64().is_some_and(f64::is_finite), "{path}: {found}");
        assert_eq!(encode("whole"), wanted, "{path}");
        let written = run_kiln(here, &["generate", "whole", "--prompt", "Ann", "--max-new-tokens", "4", "--json"])
            .expect_success()
            .json_output();
        assert!(written["ids"].is_array() && written["text"].is_string(), "{path}: {written}");
        // It goes on from any folder, before the tokenizer was kept and after that.
        for kept in [false, true] {
            run_kiln(here, &["train", "tiny.toml", "--out", "half"]).expect_success();
            if kept {
                fs::remove_dir_all(here.join("half/stages/0-pretrain/checkpoints/step-000006")).unwrap();
            } else {
                fs::remove_dir_all(here.join("half/stages")).unwrap();
                fs::remove_file(here.join("half/tokenizer.json")).unwrap();
            }
            run_kiln(&here.join("other"), &["train", "--resume", "../half"]).expect_success();
            assert_eq!(run_results(&here.join("half")), run_results(&here.join("whole")), "{path}");
            fs::remove_dir_all(here.join("half")).unwrap();
        }
        fs::remove_dir_all(here.join("whole")).unwrap();
    }
}

#[test]
fn an_invalid_tokenizer_is_refused_before_the_run_exists() {
    let home = tiny_home();
    let here = home.path();
    fs::write(here.join("broken.json"), &reference("wordpiece_cased").to_string()[..999]).unwrap();
    fs::create_dir(here.join("bare")).unwrap();
    let asked = |path: &str, code: i32, words: &[&str]| {
        let before = crate::common::list_files(here);
        let done =
            run_kiln(here, &["train", "tiny.toml", "--set", &format!("tokenizer={path}"), "--out", "run", "--json"]);
        assert_eq!(done.exit_code, Some(code), "{path}: {done:?}");
        words.iter().for_each(|word| assert!(done.stderr.contains(word), "{path}: `{word}` is not in {done:?}"));
        assert_eq!(crate::common::list_files(here), before, "{path}");
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
    let masked = run_command(crate::common::kiln_command(here, &masked));
    assert!(masked.exit_code == Some(1) && masked.stderr.contains("<mask>"), "{masked:?}");
}

#[test]
fn unencodable_bytes_are_named() {
    let home = tiny_home();
    let here = home.path();
    let file = fs::read_to_string(here.join("gpt/vocab.json")).unwrap();
    let lacking = file.replace("\"\u{104}\":", "\"<unused>\":");
    assert_ne!(file, lacking, "U+0004 as byte-level vocabularies spell it");
    fs::write(here.join("gpt/vocab.json"), lacking).unwrap();
    let encode = |text: &str| run_kiln(here, &["tokenizer", "encode", "gpt", "--text", text]).expect_success();
    assert!(encode("a\u{4}b").stderr.contains("0x04"));
    assert_eq!(encode("ab").stderr, "");
}
