//! One number for one thing: a checkpoint has the same loss in the run, in `eval`, in `compare` and in the summary.

use crate::common::{run_kiln, tiny_home};
use serde_json::Value;
use std::{fs, path::Path};

const EVERY_TWO_STEPS: [&str; 6] =
    ["--set", "stages.0.eval_every=2", "--set", "stages.0.checkpoint_every=2", "--set", "stages.0.keep_checkpoints=9"];

/// The rows of a kind in the metrics of `run`.
fn rows(home: &Path, kind: &str) -> Vec<Value> {
    let text = fs::read_to_string(home.join("run/metrics.jsonl")).unwrap();
    let rows = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    rows.filter(|row| row["kind"] == kind).collect()
}

fn json(home: &Path, args: &[&str]) -> Value {
    run_kiln(home, &[args, &["--json"]].concat()).expect_success().json_output()
}

/// Asserts that `eval` printed the numbers of a row, to the last bit.
#[track_caller]
fn assert_same_numbers(evaluated: &Value, row: &Value, what: &str) {
    let pairs = [
        ("loss", "loss"),
        ("bits_per_byte", "bits_per_byte"),
        ("accuracy", "accuracy"),
        ("tokens", "evaluated_tokens"),
        ("bytes", "evaluated_bytes"),
    ];
    for (key, row_key) in pairs {
        assert_eq!(evaluated[key], row[row_key], "{what}: {key}");
    }
}

#[test]
fn a_checkpoint_has_one_held_out_loss() {
    for objective in ["full", "masked", "prefix", "unified"] {
        let home = tiny_home();
        let set = format!("stages.0.objective={objective}");
        let sizes = ["--set", "data.source.stories.megabytes=0.2", "--set", "stages.0.eval_tokens=2000"];
        let sets = [&["--set", &set, "--out", "run"], &sizes[..]].concat();
        let trained = json(home.path(), &[&["train", "tiny.toml"], &sets[..], &EVERY_TWO_STEPS].concat());
        let validations = rows(home.path(), "validation");
        assert_eq!(validations.iter().map(|row| row["step"].as_u64().unwrap()).collect::<Vec<_>>(), [2, 4, 6]);
        for row in &validations {
            let model = format!("run@{}", row["step"]);
            assert_same_numbers(&json(home.path(), &["eval", &model]), row, &format!("{objective} {model}"));
        }
        let last = validations.last().unwrap();
        assert_eq!(trained["validation_loss"], last["loss"], "{objective}");
        assert_same_numbers(&json(home.path(), &["eval", "run@last"]), last, objective);
        let loss = |row: &&Value| row["loss"].as_f64().unwrap();
        let best = validations.iter().min_by(|a, b| loss(a).total_cmp(&loss(b))).unwrap();
        for model in ["run", "run@best"] {
            assert_same_numbers(&json(home.path(), &["eval", model]), best, &format!("{objective} {model}"));
        }
        let compared = json(home.path(), &["compare", "run", "--sequence-length", "32"]);
        assert_eq!(compared["runs"][0]["lengths"][0]["loss"], best["loss"], "{objective}");
        let all = json(home.path(), &["eval", "run", "--all"]);
        assert!(all["tokens"].as_u64() > best["evaluated_tokens"].as_u64(), "{objective}: {all}");
    }
}

#[test]
fn the_training_loss_of_the_summary_is_the_end_of_the_curve() {
    let home = tiny_home();
    let json = json(home.path(), &["train", "tiny.toml", "--steps", "330", "--out", "run"]);
    let losses: Vec<f64> = rows(home.path(), "step").iter().map(|row| row["loss"].as_f64().unwrap()).collect();
    // The curve of the report: an average over 2 steps to each side, twice.
    let average = |losses: &[f64]| -> Vec<f64> {
        let near = |i: usize| &losses[i - 2.min(i)..(i + 2.min(i) + 1).min(losses.len())];
        (0..losses.len()).map(|i| near(i).iter().sum::<f64>() / near(i).len() as f64).collect()
    };
    let end = *average(&average(&losses)).last().unwrap();
    let found = json["train_loss"].as_f64().unwrap();
    assert!((found - end).abs() < 1e-9, "{found} {end}");
    let page = fs::read_to_string(home.path().join("run/report.html")).unwrap();
    assert!(page.contains(&format!("{end:.3}")), "{end:.3} is not on the page");
}

#[test]
fn a_text_without_a_predicted_token_has_no_loss() {
    let home = tiny_home();
    let masked = ["--set", "stages.0.objective={ masked = { rate = 1e-3 } }", "--steps", "3"];
    let trained =
        run_kiln(home.path(), &[&["train", "tiny.toml", "--out", "run"], &masked[..]].concat()).expect_success();
    assert!(trained.stderr.contains("no validation loss: the objective predicts no token"), "{}", trained.stderr);
    assert!(rows(home.path(), "validation").iter().all(|row| row["loss"].is_null()));
    let evaluated = run_kiln(home.path(), &["eval", "run", "--json"]);
    assert_eq!((evaluated.exit_code, &evaluated.json_output()["error"]["kind"]), (Some(1), &"no-targets".into()));
}

#[test]
fn an_objective_that_predicts_nothing_is_an_error_with_counts() {
    let home = tiny_home();
    let set = "stages.0.objective={ masked = { rate = 1e-9 } }";
    let unsaved = ["--set", "stages.0.checkpoint_every=0", "--steps", "20"];
    let refused = run_kiln(home.path(), &[&["train", "tiny.toml", "--set", set, "--json"], &unsaved[..]].concat());
    let error = &refused.json_output()["error"];
    assert_eq!((refused.exit_code, &error["where"]), (Some(2), &"stages[0].objective".into()), "{refused:?}");
    let message = error["message"].as_str().unwrap();
    assert!(message.starts_with("`masked` predicts none of the ") && message.contains(" 8 batches"), "{message}");
    assert!(!home.path().join("runs/tiny").exists());
}
