use std::fs;
use std::io::Write;

use super::*;
use crate::checkpoint::tests::file_names;
use crate::metrics::{EventKind, RunEvent, StepMetrics};
use crate::run_folder::write_atomic;

fn step(step: u64) -> MetricsRow {
    MetricsRow::Step(StepMetrics { step, loss: 3.5, ..StepMetrics::default() })
}

fn event(step: u64, detail: String) -> MetricsRow {
    MetricsRow::Event(RunEvent { step, kind: EventKind::Interrupted, detail, seconds: 1.0 })
}

fn steps(path: &Path) -> Vec<u64> {
    MetricsLog::read(path).unwrap().iter().map(MetricsRow::step).collect()
}

#[test]
fn rows_can_be_read_while_the_run_writes() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("metrics.jsonl");
    assert_eq!(MetricsLog::read(&path).unwrap(), []);
    let mut log = MetricsLog::create(&path).unwrap();
    let rows = [step(1), event(1, "Ctrl-C\n“twice”".into()), step(2)];
    for (i, row) in rows.iter().enumerate() {
        log.append(row).unwrap();
        assert_eq!(MetricsLog::read(&path).unwrap(), rows[..=i]);
    }
    log.sync().unwrap();
    drop(MetricsLog::create(&path).unwrap());
    assert_eq!(MetricsLog::read(&path).unwrap(), []);
}

#[test]
fn truncation_removes_later_rows_and_keeps_the_bytes_of_others() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("metrics.jsonl");
    let foreign =
        "{ \"kind\": \"event\", \"step\":2, \"event\":\"resumed\", \"detail\":\"\", \"seconds\":1, \"more\":[] }\n";
    let kept = step(1).to_json_line() + foreign + &step(2).to_json_line();
    fs::write(&path, kept.clone() + &step(3).to_json_line() + "{\"kind\":\"st").unwrap();
    let mut log = MetricsLog::truncate_after(&path, 2).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), kept);
    log.append(&step(3)).unwrap();
    assert_eq!(steps(&path), [1, 2, 2, 3]);
    MetricsLog::truncate_after(&home.path().join("new.jsonl"), 0).unwrap().append(&step(1)).unwrap();
    assert_eq!(file_names(home.path()).unwrap(), ["metrics.jsonl", "new.jsonl"]);
}

#[test]
fn a_row_is_never_appended_to_an_incomplete_one() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("metrics.jsonl");
    for torn in ["{\"kind\":\"step\",\"st", step(2).to_json_line().trim_end()] {
        fs::write(&path, step(1).to_json_line() + torn).unwrap();
        MetricsLog::truncate_after(&path, 9).unwrap().append(&step(7)).unwrap();
        assert_eq!(steps(&path).last(), Some(&7));
    }
    assert_eq!(steps(&path), [1, 2, 7]);
}

#[test]
fn a_damaged_line_is_named_and_the_file_is_unchanged() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("metrics.jsonl");
    let text = step(1).to_json_line() + "garbage\n" + &step(2).to_json_line();
    fs::write(&path, &text).unwrap();
    for error in [MetricsLog::read(&path).unwrap_err(), MetricsLog::truncate_after(&path, 1).unwrap_err()] {
        assert!(error.to_string().contains("metrics.jsonl:2: expected a metrics record"), "{error}");
        assert!(error.help().unwrap().contains("remove line 2"));
    }
    assert_eq!(fs::read_to_string(&path).unwrap(), text);
}

#[test]
#[cfg(unix)]
fn a_full_disk_leaves_whole_rows_and_the_earlier_file() {
    if let Some(home) = crate::checkpoint::tests::child::folder() {
        let mut log = MetricsLog::truncate_after(&home.join("metrics.jsonl"), 9).unwrap();
        let error = log.append(&event(2, "x".repeat(100_000))).unwrap_err();
        assert_eq!(error.kind(), "disk-full", "{error}");
        log.append(&step(3)).unwrap();
        let error = write_atomic(&home.join("report.html"), &[b' '; 100_000]).unwrap_err();
        assert_eq!(error.kind(), "disk-full", "{error}");
        return;
    }
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join("metrics.jsonl"), step(1).to_json_line()).unwrap();
    fs::File::create(home.path().join("report.html")).unwrap().write_all(b"earlier").unwrap();
    let test = "a_full_disk_leaves_whole_rows_and_the_earlier_file";
    crate::checkpoint::tests::child::passes(crate::checkpoint::tests::child::with_little_space(
        32,
        module_path!(),
        test,
        home.path(),
    ));
    assert_eq!(steps(&home.path().join("metrics.jsonl")), [1, 3]);
    assert_eq!(fs::read(home.path().join("report.html")).unwrap(), b"earlier");
    assert_eq!(file_names(home.path()).unwrap(), ["metrics.jsonl", "report.html"]);
}
