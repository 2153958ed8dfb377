//! Bad input gets an error with the kinds of the command, and the session goes on.

use crate::page::{Page, RECIPE};
use serde_json::{Value, json};

#[test]
fn recipes_are_refused_as_the_command_refuses_them() {
    let page = Page::new();
    let typo = RECIPE.replace("batch_size", "batch_sise");
    let error = page.refusal("train", json!({ "toml": typo }));
    assert_eq!(error.kind, "unknown-key");
    assert!(error.location.as_deref().unwrap().starts_with("recipe.toml:"), "{error:?}");
    assert!(error.help.as_deref().unwrap().contains("batch_size"), "{error:?}");
    let error = page.refusal("check", json!({ "toml": RECIPE, "set": ["model.hidden=7"] }));
    assert!(error.location.as_deref().unwrap().contains("model"), "{error:?}");
    let error = page.refusal("check", json!({ "toml": "= 3" }));
    assert!(error.location.is_some(), "{error:?}");
    let error = page.refusal("check", json!({ "toml": RECIPE, "set": ["data.source={ files = { paths = [] } }"] }));
    assert_eq!(error.location.as_deref(), Some("data.source.files.paths"));
    let error = page.refusal("train", json!({ "toml": RECIPE, "set": ["from=\"runs/a\""] }));
    assert!(error.location.as_deref().unwrap_or_default().contains("from"), "{error:?}");
    assert_eq!(page.call("runs", json!({})), json!({ "runs": [] }));
}

#[test]
fn unknown_calls_runs_and_arguments_are_refused() {
    let page = Page::new();
    assert_eq!(page.refusal("fly", json!({})).kind, "usage");
    assert_eq!(page.refusal("metrics", json!({})).kind, "usage");
    for call in ["metrics", "resume", "delete", "download", "load"] {
        for run in ["", "..", "../data", "gone"] {
            let error = page.refusal(call, json!({ "run": run }));
            assert_eq!(error.kind, "not-a-run", "{call} {run}: {error:?}");
        }
    }
}

#[test]
fn files_that_are_no_models_or_texts_are_refused() {
    let page = Page::new();
    let open = |name: &str, bytes: &[u8]| page.open(vec![(name.into(), bytes.to_vec())]);
    let cases: [(&str, &[u8]); 6] = [
        ("garbage.bin", &[0xFF, 0xFE, 0, 1]),
        ("model.gguf", b"GGUF\x03\0\0\0"),
        ("config.json", b"{\"model_type\":\"llama\"}"),
        ("run.zip", b"PK\x03\x04\xFF and no more"),
        ("empty.txt", b""),
        ("blank.txt", b" \n"),
    ];
    for (name, bytes) in cases {
        let error = open(name, bytes).expect_err(name);
        assert!(!error.message.is_empty(), "{name}");
    }
    assert_eq!(page.open(Vec::new()).unwrap_err().kind, "usage");
    assert!(page.session.storage().files().is_empty());
}

#[test]
fn a_damaged_checkpoint_is_named() {
    let page = Page::new();
    let run = page.train();
    let files = page.session.storage().files().into_iter();
    let damage = |path: &str, bytes: &[u8]| match path.ends_with("model.safetensors") {
        true => bytes[..bytes.len() / 2].to_vec(),
        false => bytes.to_vec(),
    };
    let files = files.map(|(path, bytes)| (path.display().to_string(), damage(path.to_str().unwrap(), &bytes)));
    let damaged = Page::with_files(files.collect());
    let error = damaged.refusal("load", json!({ "run": run, "checkpoint": "last" }));
    assert_eq!(error.kind, "damaged");
    assert!(error.location.as_deref().unwrap().ends_with("model.safetensors"), "{error:?}");
    assert_eq!(damaged.refusal("resume", json!({ "run": run })).kind, "damaged");
    assert_eq!(damaged.call("runs", json!({}))["runs"][0]["problem"], Value::Null);
}

#[test]
fn a_run_that_cannot_be_read_is_listed_with_the_reason() {
    let page = Page::with_files(vec![("runs/odd/recipe.toml".into(), b"version = 9".to_vec())]);
    let entry = page.call("runs", json!({}))["runs"][0].clone();
    assert_eq!(entry["run"], "odd");
    assert!(entry["problem"].as_str().unwrap().contains("version"), "{entry}");
    page.call("delete", json!({ "run": "odd" }));
    assert!(page.session.storage().files().is_empty());
}
