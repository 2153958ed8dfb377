//! A run can be resumed from any working directory.

use crate::common::{kiln_command, run_kiln, run_results, tiny_home};
use std::fs;

/// Trains on text in `texts`, named by a relative path.
const TRAIN: [&str; 9] =
    ["train", "tiny.toml", "--data", "texts", "--steps", "8", "--set", "stages.0.checkpoint_every=0.25", "--out"];

#[test]
fn a_run_can_be_resumed_from_another_folder() {
    let home = tiny_home();
    let at = |name: &str| home.path().join(name);
    fs::create_dir_all(at("texts")).unwrap();
    fs::create_dir_all(at("other")).unwrap();
    for number in 0..40 {
        fs::write(at("texts").join(format!("{number}.txt")), format!("Text number {number} is short. ").repeat(9))
            .unwrap();
    }
    let whole = run_kiln(home.path(), &[&TRAIN[..], &["whole"]].concat()).expect_success();
    let recipe = fs::read_to_string(at("whole/recipe.toml")).unwrap();
    assert!(recipe.contains("paths = [\"texts\"]"), "as typed: {recipe}");
    // As if it had been killed before its last checkpoint.
    run_kiln(home.path(), &[&TRAIN[..], &["half"]].concat()).expect_success();
    fs::remove_dir_all(at("half/stages/0-pretrain/checkpoints/step-000008")).unwrap();
    let resumed = run_kiln(&at("other"), &["train", "--resume", "../half"]).expect_success();
    assert!(
        resumed.stderr.contains("continuing after step 6") && !whole.stderr.contains("continuing"),
        "{}",
        resumed.stderr
    );
    assert_eq!(run_results(&at("half")), run_results(&at("whole")));
    // A run that starts from another one and saved nothing yet.
    run_kiln(home.path(), &[&TRAIN[..], &["next", "--set", "from=whole"]].concat()).expect_success();
    let wanted = run_results(&at("next"));
    fs::remove_dir_all(at("next/stages")).unwrap();
    fs::remove_file(at("next/tokenizer.json")).unwrap();
    run_kiln(&at("other"), &["train", "--resume", "../next"]).expect_success();
    assert_eq!(run_results(&at("next")), wanted);
}

#[test]
fn missing_text_of_a_resumed_run_is_named() {
    let home = tiny_home();
    fs::write(home.path().join("text.txt"), "Ann and Ben went home. ".repeat(999)).unwrap();
    run_kiln(home.path(), &["train", "tiny.toml", "--data", "text.txt", "--out", "run"]).expect_success();
    fs::remove_file(home.path().join("text.txt")).unwrap();
    fs::remove_dir_all(home.path().join("run/stages")).unwrap();
    fs::create_dir(home.path().join("other")).unwrap();
    let error = |folder: &str, run: &str| {
        let done = kiln_command(&home.path().join(folder), &["train", "--resume", run, "--json"]).output().unwrap();
        crate::common::CommandResult::from_output(done).json_output()["error"]["message"].as_str().unwrap().to_owned()
    };
    assert_eq!(error("", "run"), "text.txt: no such file or folder");
    let whole = home.path().canonicalize().unwrap().join("text.txt");
    assert_eq!(error("other", "../run"), format!("{}: no such file or folder", whole.display()));
}
