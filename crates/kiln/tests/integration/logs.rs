//! The metrics of a run in the formats of other programs.

use crate::common::{kiln_command, run_kiln, tiny_home};
use kiln_train::metrics::{LogFormat, MetricsRow, parse};
use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    process::Stdio,
    thread::sleep,
    time::{Duration, Instant},
};

const FORMATS: [&str; 4] = ["--log", "tensorboard", "--log", "csv"];

/// Checks that both files hold the rows of `metrics.jsonl`, and returns these.
fn check_copies(run: &Path) -> Vec<MetricsRow> {
    let rows = parse(&fs::read(run.join("metrics.jsonl")).unwrap()).unwrap();
    for format in LogFormat::ALL {
        let file = fs::read(run.join(format.file_name())).unwrap();
        assert_eq!(format.encoder(&file, 0.0).encode_file(&rows), file, "{format:?}");
    }
    let table = fs::read_to_string(run.join("metrics.csv")).unwrap();
    let lines: Vec<Vec<&str>> = table.lines().map(|line| line.split(',').collect()).collect();
    let loss = lines[0].iter().position(|name| *name == "train/loss").unwrap();
    let written: Vec<(String, String)> = lines[1..]
        .iter()
        .filter(|line| !line[loss].is_empty())
        .map(|line| (line[0].to_string(), line[loss].to_string()))
        .collect();
    let steps = rows.iter().filter_map(|row| match row {
        MetricsRow::Step(row) => Some((row.step.to_string(), row.loss.to_string())),
        _ => None,
    });
    assert_eq!(written, steps.collect::<Vec<_>>());
    assert_eq!(written.iter().map(|(step, _)| step).collect::<BTreeSet<_>>().len(), written.len());
    rows
}

#[test]
fn metrics_are_also_written_for_tensorboard_and_as_a_table() {
    let home = tiny_home();
    run_kiln(home.path(), &[&["train", "tiny.toml", "--out", "run"], &FORMATS[..]].concat()).expect_success();
    let rows = check_copies(&home.path().join("run"));
    assert!(rows.iter().any(|row| matches!(row, MetricsRow::Samples(_))));
    let recipe = fs::read_to_string(home.path().join("run/recipe.toml")).unwrap();
    assert!(recipe.contains("log = [\"tensorboard\", \"csv\"]") || recipe.contains("log = [\n"), "{recipe}");

    run_kiln(home.path(), &["train", "tiny.toml", "--out", "both", "--log", "tensorboard,csv"]).expect_success();
    check_copies(&home.path().join("both"));
    run_kiln(home.path(), &["train", "tiny.toml", "--out", "none"]).expect_success();
    for format in LogFormat::ALL {
        assert!(!home.path().join("none").join(format.file_name()).exists());
    }
}

#[test]
fn a_format_is_refused_if_it_is_unknown_listed_twice_or_given_to_a_resumed_run() {
    let home = tiny_home();
    let train = |more: &[&str]| run_kiln(home.path(), &[&["train", "tiny.toml", "--out", "run"], more].concat());
    let unknown = train(&["--log", "xml"]);
    assert!(unknown.exit_code == Some(2) && unknown.stderr.contains("tensorboard, csv"), "{unknown:?}");
    let twice = train(&["--log", "csv,csv"]);
    assert!(twice.exit_code == Some(2) && twice.stderr.contains("`csv` is listed twice"), "{twice:?}");
    assert!(!home.path().join("run").exists());
    train(&[]).expect_success();
    let resumed = run_kiln(home.path(), &["train", "--resume", "run", "--log", "csv"]);
    assert!(resumed.exit_code == Some(2) && resumed.stderr.contains("cannot be used with"), "{resumed:?}");
}

#[test]
#[cfg(unix)]
fn a_killed_run_that_resumes_has_each_step_once() {
    let home = tiny_home();
    let run = home.path().join("run");
    let more = ["--steps", "300", "--set", "stages.0.checkpoint_every=20"];
    let args = [&["train", "tiny.toml", "--out", "run"], &FORMATS[..], &more].concat();
    let mut child = kiln_command(home.path(), &args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    while fs::read_to_string(run.join("metrics.csv")).map_or(0, |table| table.lines().count()) < 60 {
        assert!(Instant::now() < deadline && child.try_wait().unwrap().is_none(), "the run ended early");
        sleep(Duration::from_millis(1));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    // What a kill in the middle of a write leaves.
    for format in LogFormat::ALL {
        let file = run.join(format.file_name());
        let bytes = fs::read(&file).unwrap();
        fs::write(&file, &bytes[..bytes.len() - 5]).unwrap();
    }
    run_kiln(home.path(), &["train", "--resume", "run"]).expect_success();
    let rows = check_copies(&run);
    assert_eq!(rows.iter().filter(|row| matches!(row, MetricsRow::Step(_))).count(), 300);
}
