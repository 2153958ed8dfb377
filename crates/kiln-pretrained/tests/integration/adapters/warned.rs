//! Warnings about adapter folders whose options and weights do not fit each other.

use super::{LLAMA, base, changed, load};
use kiln_pretrained::peft_format::load_adapters;
use log::{LevelFilter, Log, Metadata, Record};
use serde_json::json;
use std::cell::RefCell;

thread_local! {
    static WARNINGS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// A logger that keeps the warnings of the thread.
struct Recorder;

impl Log for Recorder {
    fn enabled(&self, _metadata: &Metadata) -> bool {
        true
    }

    fn log(&self, record: &Record) {
        WARNINGS.with_borrow_mut(|warnings| warnings.push(record.args().to_string()));
    }

    fn flush(&self) {}
}

/// The warnings that `run` logs.
fn warnings(run: impl FnOnce()) -> Vec<String> {
    // Another test of the process may have installed it.
    let _ = log::set_logger(&Recorder);
    log::set_max_level(LevelFilter::Warn);
    WARNINGS.take();
    run();
    WARNINGS.take()
}

fn warnings_of(name: &str) -> Vec<String> {
    warnings(|| assert!(load(name).is_ok(), "{name}"))
}

/// Checks that there is one warning with these parts.
fn assert_one(warnings: &[String], parts: &[&str]) {
    assert!(warnings.len() == 1 && parts.iter().all(|part| warnings[0].contains(part)), "{parts:?}: {warnings:?}");
}

#[test]
fn what_does_not_fit_is_said_once_by_its_name() {
    assert_one(&warnings_of("extra-target"), &["target_modules: the model has no such modules: `query_key_value`"]);
    let unselected = ["do not select", "`model.layers.0.self_attn.v_proj`, `model.layers.1.self_attn.v_proj`"];
    assert_one(&warnings_of("unselected"), &unselected);
    let missing = ["no adapters for them", "`model.layers.1.self_attn.q_proj`, `model.layers.1.self_attn.v_proj`"];
    assert_one(&warnings_of("missing"), &missing);
    assert_one(&warnings_of("encoder"), &["have no effect", "`pooler.dense`"]);
    let folder = changed("pickle", |options| options["rank_pattern"] = json!({ "c_attn": 2 }));
    let warned = warnings(|| assert!(load_adapters(&base(LLAMA).0, None, folder.path()).is_ok()));
    assert_one(&warned, &["rank_pattern: matches none of the adapters: `c_attn`"]);
}

#[test]
fn folders_that_fit_cause_no_warning() {
    for name in ["pickle", "exclude-names", "layers", "alpha-dot", "fused-gpt2", "embedding-lora", "saved-norms"] {
        assert_eq!(warnings_of(name), [""; 0], "{name}");
    }
}
