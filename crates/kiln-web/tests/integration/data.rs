//! Files of texts and rows that a page opens: what a run reads of them is what it reads of the same files on disk.

use crate::{
    page::{Page, RECIPE},
    training::{disk_rows, rows, train_on_disk_with},
};
use serde_json::{Value, json};
use std::fs;

/// Names of 40 different things.
fn things() -> Vec<String> {
    let colors = ["red", "blue", "green", "brown", "black"];
    let animals = ["fox", "dog", "hen", "cow", "cat", "owl", "bee", "ant"];
    colors.iter().flat_map(|color| animals.map(|animal| format!("{color} {animal}"))).collect()
}

/// JSON lines of rows.
fn lines(row: impl Fn(&str) -> Value) -> String {
    things().iter().map(|thing| format!("{}\n", row(thing))).collect()
}

/// The assignment of a file as the data of a run, below a folder of the file system or in the page.
fn source(name: &str, base: Option<&str>) -> String {
    let base = base.map_or(String::new(), |base| format!(", base = {base:?}"));
    format!("data.source={{ files = {{ paths = [\"data/{name}\"]{base} }} }}")
}

/// Opens a file in a page, trains on it there and on disk, and compares the rows of metrics. Returns the recipe of the run in the
/// page.
fn trains_as_on_disk(name: &str, text: &str, sets: &[&str]) -> String {
    let page = Page::new();
    let opened = page.open(vec![(format!("folder/{name}"), text.into())]).unwrap();
    assert_eq!(opened, json!({ "kind": "data", "paths": [format!("data/{name}")] }));
    let with = |source: String| -> Vec<String> {
        sets.iter().map(|set| (*set).to_owned()).chain([source, "stages.0.sequence_length=96".into()]).collect()
    };
    let outcome = page.call("train", json!({ "toml": RECIPE, "set": with(source(name, None)) }));
    assert_eq!(outcome["step"], 12, "{name}");
    let home = tempfile::tempdir().unwrap();
    fs::create_dir(home.path().join("data")).unwrap();
    fs::write(home.path().join("data").join(name), text).unwrap();
    let folder = home.path().join("tiny");
    train_on_disk_with(&folder, &with(source(name, home.path().to_str())));
    assert_eq!(rows(&page, "tiny"), disk_rows(&folder), "{name}");
    page.call("metrics", json!({ "run": "tiny" }))["toml"].as_str().unwrap().to_owned()
}

#[test]
fn texts_train_as_on_disk() {
    let text = "The brown fox jumps over the lazy dog. ".repeat(400);
    trains_as_on_disk("fox.txt", &text, &[]);
    trains_as_on_disk("rows.jsonl", &lines(|thing| json!({ "text": format!("There is a {thing} here.") })), &[]);
    // The labels are left out, because the objective reads texts.
    let table: String =
        things().iter().map(|thing| format!("\"A {thing}, and no other.\",{}\n", thing.len())).collect();
    trains_as_on_disk("table.csv", &format!("text,label\n{table}"), &[]);
}

#[test]
fn conversations_train_as_on_disk() {
    let row = |thing: &str| {
        let turn = |role: &str, content: String| json!({ "role": role, "content": content });
        json!({ "messages": [turn("user", format!("A {thing}?")), turn("assistant", format!("Yes, {thing}."))] })
    };
    let toml = trains_as_on_disk("chats.jsonl", &lines(row), &["stages.0.objective=chat", "data.template=chatml"]);
    assert!(toml.contains("format = \"messages\""), "{toml}");
}

#[test]
fn preferences_train_as_on_disk() {
    let row = |thing: &str| json!({ "prompt": format!("A {thing}?"), "chosen": " Yes.", "rejected": " No." });
    let list = serde_json::to_string(&things().iter().map(|thing| row(thing)).collect::<Vec<_>>()).unwrap();
    let objective = "stages.0.objective={ preference = { loss = \"dpo\", reference = \"start\" } }";
    let toml = trains_as_on_disk("pairs.json", &list, &[objective]);
    assert!(toml.contains("format = \"preference\""), "{toml}");
}

#[test]
fn files_that_no_run_can_read_are_refused_by_name() {
    let page = Page::new();
    let cases: [(&str, &[u8], &str, &str); 5] = [
        ("table.parquet", b"PAR1", "a Parquet file", "CSV or JSON lines"),
        ("table.bin", b"PAR1....PAR1", "a Parquet file", "CSV or JSON lines"),
        ("rows.jsonl.gz", b"\x1f\x8b\x08\0", "a gzip archive", "decompress it"),
        ("page.pdf", b"%PDF-1.7", "a PDF document", "as text"),
        ("photo.png", b"\x89PNG\r\n", "invalid UTF-8", "JSON lines"),
    ];
    for (name, bytes, found, help) in cases {
        // A file that can be read does not help the other.
        let error = page.open(vec![("a.txt".into(), b"text".to_vec()), (name.into(), bytes.into())]).unwrap_err();
        assert!(error.message.starts_with(name) && error.message.contains(found), "{name}: {error:?}");
        assert!(error.help.as_deref().unwrap().contains(help), "{name}: {error:?}");
    }
    assert!(page.session.storage().files().is_empty());
}

#[test]
fn rows_that_a_recipe_does_not_read_are_refused_before_the_run() {
    let page = Page::new();
    page.open(vec![("rows.jsonl".into(), lines(|thing| json!({ "body": thing })).into_bytes())]).unwrap();
    let error = page.refusal("train", json!({ "toml": RECIPE, "set": [source("rows.jsonl", None)] }));
    assert!(error.kind == "json-field" && error.message.contains("body"), "{error:?}");
    let error = page.refusal("train", json!({ "toml": RECIPE, "set": [source("gone.jsonl", None)] }));
    assert!(error.kind == "missing" && error.message.contains("data/gone.jsonl"), "{error:?}");
    assert_eq!(page.call("runs", json!({})), json!({ "runs": [] }));
}
