use std::fs;

use crate::metrics::{LogFormat, MetricsRow, StepMetrics, parse};
use crate::run_folder::MetricsLog;

/// The rows of a run of `steps` steps; from step 3 on with a metric.
fn rows(steps: u64) -> Vec<MetricsRow> {
    let row = |step: u64| StepMetrics {
        step,
        tokens: 100 * step,
        loss: 3.0 / step as f64,
        seconds: 0.3 * step as f64,
        metrics: (step >= 3).then(|| ("margin".to_string(), Some(0.1 * step as f64))).into_iter().collect(),
        ..StepMetrics::default()
    };
    (1..=steps).map(|step| MetricsRow::Step(row(step))).collect()
}

#[test]
fn copies_hold_the_rows_of_the_metrics_after_any_interruption() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("metrics.jsonl");
    let files = LogFormat::ALL.map(|format| home.path().join(format.file_name()));
    let read = || files.each_ref().map(|file| fs::read(file).unwrap());
    let mut log = MetricsLog::create(&path).unwrap().with_copies(&LogFormat::ALL, 1.7e9).unwrap();
    let rows = rows(6);
    for row in &rows[..5] {
        log.append(row).unwrap();
    }
    log.sync().unwrap();
    drop(log);
    let complete = read();
    assert_eq!(String::from_utf8(complete[1].clone()).unwrap().lines().count(), 6);

    // A process that is killed can leave part of a record, and rows after the last checkpoint.
    for damage in [&complete[0][..complete[0].len() - 3], b"", &complete[0][..30]] {
        fs::write(&files[0], damage).unwrap();
        fs::write(&files[1], [&complete[1][..], b"5,1."].concat()).unwrap();
        let mut log = MetricsLog::truncate_after(&path, 2).unwrap().with_copies(&LogFormat::ALL, 1.8e9).unwrap();
        for row in &rows[2..5] {
            log.append(row).unwrap();
        }
        let again = read();
        assert_eq!(again[1], complete[1]);
        // The start time is kept unless the first record is lost.
        assert_eq!(again[0].len(), complete[0].len());
        assert_eq!(again[0] == complete[0], damage.len() > 40);
        fs::write(&files[0], &complete[0]).unwrap();
    }
    assert_eq!(parse(&fs::read(&path).unwrap()).unwrap(), rows[..5]);
}

#[test]
fn a_run_without_formats_has_no_copies() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("metrics.jsonl");
    let mut log = MetricsLog::create(&path).unwrap().with_copies(&[], 0.0).unwrap();
    log.append(&rows(1)[0]).unwrap();
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 1);
}
