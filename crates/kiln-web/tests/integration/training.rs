//! Runs in a session: training, pauses, lists, and what a page keeps.

use crate::page::{Page, RECIPE};
use burn::tensor::Device;
use kiln_train::{
    Recipe,
    metrics::MetricsRow,
    run::{RunContext, load_metrics, start},
    run_folder::RunPaths,
    storage::Change,
};
use serde_json::{Value, json};
use std::{collections::BTreeMap, path::Path, sync::atomic::AtomicBool};

/// The rows of metrics without times and events.
pub fn timeless(rows: &[Value]) -> Vec<Value> {
    let rows = rows.iter().filter(|row| row["kind"] != "event").cloned();
    rows.map(|mut row| {
        row["seconds"] = Value::Null;
        row
    })
    .collect()
}

/// The rows of a run in a page.
pub fn rows(page: &Page, run: &str) -> Vec<Value> {
    let metrics = page.call("metrics", json!({ "run": run }));
    timeless(metrics["rows"].as_array().unwrap())
}

/// The rows of a run on disk.
pub fn disk_rows(folder: &Path) -> Vec<Value> {
    let rows = load_metrics(&RunPaths::open(folder).unwrap()).unwrap();
    timeless(&rows.iter().map(|row: &MetricsRow| serde_json::to_value(row).unwrap()).collect::<Vec<_>>())
}

/// Trains the recipe on disk.
pub fn train_on_disk(folder: &Path) {
    train_on_disk_with(folder, &[]);
}

/// Trains the recipe with assignments on disk.
pub fn train_on_disk_with(folder: &Path, sets: &[String]) {
    let nothing = |_: &str, _: Option<&str>| unreachable!("the recipe extends nothing");
    let recipe = Recipe::load(RECIPE, None, sets, &nothing).unwrap();
    let stop_flag = AtomicBool::new(false);
    let context = RunContext { device: Device::flex(), stop_flag: &stop_flag, listener: &mut () };
    start(&recipe, Some(folder), context).unwrap();
}

#[test]
fn a_run_in_a_page_is_that_of_the_command() {
    let page = Page::new();
    let run = page.train();
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("tiny");
    train_on_disk(&folder);
    assert_eq!(rows(&page, &run), disk_rows(&folder));
    assert_eq!(page.events("corpus").len(), 1);
    let stage = &page.events("stage")[0];
    assert_eq!((&stage["stage"], &stage["steps"], &stage["steps_done"]), (&json!("one"), &json!(12), &json!(0)));
    let saved: Vec<Value> = page.events("checkpoint").iter().map(|event| event["step"].clone()).collect();
    assert_eq!(saved, [3, 6, 9, 12]);
    let sent: Vec<Value> = page.events("metrics").iter().map(|event| event["row"].clone()).collect();
    assert_eq!(timeless(&sent), rows(&page, &run));
}

#[test]
fn a_paused_run_is_resumed_to_the_same_rows() {
    let page = Page::new();
    let (outcome, (entry, refused)) = page.train_until(4, async || {
        let runs = page.try_call("runs", json!({})).await.unwrap().value;
        let refused = page.try_call("delete", json!({ "run": "tiny" })).await.unwrap_err();
        page.try_call("pause", json!({ "run": "tiny" })).await.unwrap();
        (runs["runs"][0].clone(), refused)
    });
    assert_eq!((&entry["running"], &entry["finished"]), (&json!(true), &json!(false)));
    assert_eq!(refused.kind, "locked");
    assert_eq!(outcome["interrupted"], true);
    let step = outcome["step"].as_u64().unwrap();
    assert!((4..12).contains(&step), "{outcome}");
    assert_eq!(page.refusal("pause", json!({ "run": "tiny" })).kind, "not-training");
    let resumed = page.call("resume", json!({ "run": "tiny" }));
    assert_eq!(resumed, json!({ "run": "tiny", "step": 12, "steps": 12, "interrupted": false }));
    let whole = Page::new();
    let run = whole.train();
    assert_eq!(rows(&page, "tiny"), rows(&whole, &run));
}

#[test]
fn a_run_that_is_paused_while_it_prepares_is_resumed_to_the_same_rows() {
    let page = Page::new();
    let arguments = json!({ "toml": RECIPE, "set": ["tokenizer={ bpe = { vocab = 400 } }"] });
    let is_training_tokenizer = || page.events("progress").iter().any(|event| event["phase"] == "tokenizer");
    let (outcome, num_corpora) = page.train_when(arguments.clone(), is_training_tokenizer, async || {
        page.try_call("pause", json!({ "run": "tiny" })).await.unwrap();
        page.events("corpus").len()
    });
    assert_eq!(num_corpora, 0);
    assert_eq!((&outcome["interrupted"], &outcome["step"]), (&json!(true), &json!(0)));
    assert!(page.events("corpus").is_empty());
    page.call("resume", json!({ "run": "tiny" }));
    let whole = Page::new();
    whole.call("train", arguments);
    assert_eq!(rows(&page, "tiny"), rows(&whole, "tiny"));
}

#[test]
fn other_calls_are_answered_while_a_run_trains() {
    let page = Page::new();
    let first = page.train();
    let model = page.call("load", json!({ "run": first }))["model"].clone();
    let (outcome, text) = page.train_until(2, async || {
        let options = json!({ "max_new_tokens": 5, "temperature": 0 });
        page.try_call("generate", json!({ "model": model, "prompt": "Ann", "options": options })).await.unwrap().value
    });
    assert_eq!((&outcome["run"], &outcome["step"]), (&json!("tiny-2"), &json!(12)));
    assert!(text["ids"].as_array().unwrap().len() <= 5);
}

#[test]
fn runs_are_listed_and_deleted() {
    let page = Page::new();
    assert_eq!(page.call("runs", json!({})), json!({ "runs": [] }));
    page.call("train", json!({ "toml": RECIPE, "set": ["stages.0.steps=3"], "name": "short run" }));
    let entry = page.call("runs", json!({}))["runs"][0].clone();
    assert_eq!((&entry["run"], &entry["name"]), (&json!("short-run"), &json!("short run")));
    assert_eq!((&entry["step"], &entry["steps"], &entry["finished"]), (&json!(3), &json!(3), &json!(true)));
    assert_eq!((&entry["running"], &entry["objective"]), (&json!(false), &json!("full")));
    assert!(entry["validation_loss"].as_f64() > entry["floor"].as_f64() && entry["bytes"].as_u64() > Some(1000));
    page.call("delete", json!({ "run": "short-run" }));
    assert_eq!(page.call("runs", json!({})), json!({ "runs": [] }));
}

/// A copy of the files as a page keeps it.
#[derive(Default)]
struct Copy(BTreeMap<String, Vec<u8>>);

impl Copy {
    fn take(&mut self, page: &Page) {
        for change in page.session.take_changes() {
            match change {
                Change::Written(path, bytes) => self.0.insert(path.display().to_string(), bytes.to_vec()),
                Change::Removed(path) => self.0.remove(path.to_str().unwrap()),
            };
        }
    }
}

#[test]
fn a_page_that_was_closed_continues_from_what_it_kept() {
    let page = Page::new();
    let mut copy = Copy::default();
    page.train_until(7, async || copy.take(&page));
    assert!(copy.0.len() > 5, "{:?}", copy.0.keys());
    let again = Page::with_files(copy.0.into_iter().collect());
    assert!(again.session.take_changes().is_empty());
    let entry = again.call("runs", json!({}))["runs"][0].clone();
    assert_eq!((&entry["running"], &entry["finished"]), (&json!(false), &json!(false)));
    again.call("resume", json!({ "run": "tiny" }));
    assert_eq!(again.events("stage")[0]["steps_done"], 6);
    assert_eq!(rows(&again, "tiny"), rows(&page, "tiny"));
    again.call("delete", json!({ "run": "tiny" }));
    let mut rest = Copy::default();
    rest.take(&again);
    assert!(rest.0.is_empty());
}
