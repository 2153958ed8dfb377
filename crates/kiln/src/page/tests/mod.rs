//! Complete pages: with missing and non-finite values, of long runs, and (in `hostile`) with hostile text.

mod fixture;
mod fixture_model;
mod hostile;

use std::collections::BTreeMap;

use super::*;

#[test]
fn an_empty_run_has_a_page() {
    let page = render_report(&Report { name: "new".into(), ..Report::default() });
    assert!(page.contains("no loss has been measured") && !page.contains("<svg"));
    assert!(render_comparison(&Comparison::default()).contains("0 runs"));
}

#[test]
fn one_step_is_a_point() {
    let row = Row::Step(StepRow { step: 1, loss: Some(6.9), ..StepRow::default() });
    let page = render_report(&Report { steps: 1, train_loss: Some(6.9), rows: vec![row], ..Report::default() });
    assert!(page.contains("After 1 step ") && page.contains("h.01\""));
}

/// A training step with `value` as every metric.
fn step_row(step: u64, value: f64) -> Row {
    Row::Step(StepRow {
        step,
        tokens: 0,
        loss: Some(value),
        learning_rate: Some(value),
        gradient_norm: Some(value),
        seconds: Some(value),
        losses: BTreeMap::from([("balance".to_string(), Some(value))]),
        metrics: BTreeMap::from([("accuracy".to_string(), Some(value))]),
    })
}

/// An evaluation with `value` as loss and accuracy.
fn validation_row(step: u64, value: f64) -> Row {
    Row::Validation(ValidationRow { step, loss: Some(value), accuracy: Some(value), ..ValidationRow::default() })
}

#[test]
fn non_finite_values_leave_gaps() {
    let losses = [5.0, f64::NAN, f64::INFINITY, 4.0, f64::NEG_INFINITY, -1e308, 1e308];
    let steps = (1..).zip(losses).map(|(step, value)| step_row(step, value));
    let validations = (1..).zip(losses).map(|(step, value)| validation_row(step, value));
    let rows: Vec<Row> = steps.chain(validations).collect();
    let bad = Some(f64::NAN);
    let page = render_report(&Report {
        seconds: f64::NAN,
        validation_loss: bad,
        floor: bad,
        rows: rows.clone(),
        ..Report::default()
    });
    assert!(!page.contains("NaN") && !page.contains("inf\"") && !page.contains("nan%") && page.contains("<svg"));
    let run = ComparedRun { rows, validation_loss: Some(2.0), seconds: f64::INFINITY, ..ComparedRun::default() };
    assert!(!render_comparison(&Comparison { runs: vec![run.clone(), run] }).contains("NaN"));
}

#[test]
fn a_long_run_has_a_small_page() {
    let long = fixture::report(100_000);
    let page = render_report(&long);
    assert!(page.len() < 1_500_000, "{} bytes", page.len());
    let run = ComparedRun { rows: long.rows, ..ComparedRun::default() };
    let page = render_comparison(&Comparison { runs: vec![run; 4] });
    assert!(page.len() < 1_500_000, "{} bytes", page.len());
}

#[test]
fn a_page_loads_nothing() {
    for page in [render_report(&fixture::report(50)), render_report(&fixture::report_of_text(50))] {
        for loader in ["http:", "https:", "src=", "<link", "@import", "url("] {
            assert!(!page.contains(loader), "{loader}");
        }
    }
}

#[test]
fn the_summary_says_how_the_run_ended() {
    let mut run = fixture::report(720);
    let finished = "After 720 steps (2.21 M tokens, 2 min 58 s) validation loss is 1.93 nats per token, 18 % above the lowest possible loss of 1.63.";
    assert_eq!(run_summary(&run), finished);
    run.rows.push(Row::Event(EventRow { event: "interrupted".into(), ..EventRow::default() }));
    assert!(run_summary(&run).starts_with("Interrupted after 720 steps"));
    let text = "validation loss is 1.93 nats per token, 1.42 bits per byte (xz: 1.83).";
    assert!(run_summary(&fixture::report_of_text(720)).ends_with(text));
    let masked = Report { is_pseudo: true, validation_loss: Some(1.0), ..Report::default() };
    assert!(run_summary(&masked).ends_with("validation loss of masked tokens is 1.00 nats per token."));
}

#[test]
fn metrics_of_the_objective_have_headlines_and_charts() {
    let page = render_report(&fixture::report_of_preferences(300));
    for part in [
        "validation loss is 0.12 nats per pair.",
        "<span>Accuracy</span><b>94.7\u{a0}%</b><span>higher is better</span>",
        "<span>Margin</span><b>2.361</b><span>nats, higher is better</span>",
        "<span>KL divergence</span><b>0.708</b><span>nats, lower is better</span>",
        "<b>Margin</b> <span>higher is better; reward of the chosen answer over that of the rejected one</span>",
        "<b>KL divergence</b> <span>lower is better</span>",
        "<h4>chosen</h4>",
        "<h4>rejected</h4>",
    ] {
        assert!(page.contains(part), "{part}");
    }
    assert!(!page.contains("nats per token") && !page.contains("Bits per byte"));
    assert!(!render_report(&fixture::report(50)).contains("Metrics of the objective"));
}

#[test]
fn missing_data_has_no_section() {
    let complete = render_report(&fixture::report(50));
    let bare = render_report(&Report { rows: fixture::rows(50, 1.0), ..Report::default() });
    for heading in ["Objective example", "Model</h2>", "Checkpoints", "<summary>Recipe"] {
        assert!(complete.contains(heading) && !bare.contains(heading), "{heading}");
    }
    let floor_note = "lowest possible loss (the floor)";
    assert!(complete.contains(floor_note) && !bare.contains(floor_note));
    assert!(complete.contains("ownership") && !complete.contains("Compression compared with gzip"));
    assert!(render_report(&fixture::report_of_text(50)).contains("Compression compared with gzip"));
}

#[test]
fn rows_are_parsed_line_by_line() {
    let text = concat!(
        r#"{"kind":"step","step":1,"tokens":3072,"loss":6.9,"learning_rate":0.0003,"gradient_norm":null,"seconds":0.21}"#,
        "\n",
        r#"{"kind":"samples","step":50,"samples":[{"prompt":"","text":"a","complete":true}],"accepted":0.88,"seconds":13}"#,
        "\n",
        r#"{"kind":"compression","step":720,"bytes":1000,"model_bits_per_byte":1.3,"gzip":2.1,"xz":1.8,"zstd":1.85}"#,
        "\n",
        r#"{"kind":"later","step":2}"#,
        "\n",
        r#"{"kind":"step","st"#,
    );
    let rows = parse_rows(text).expect("rows");
    assert!(matches!(&rows[0], Row::Step(StepRow { loss: Some(6.9), gradient_norm: None, .. })));
    assert!(matches!(
        &rows[2],
        Row::Compression { step: 720, compression: Compression { bytes: 1000, model: Some(1.3), .. } }
    ));
    assert_eq!((rows.len(), matches!(rows[3], Row::Other)), (4, true));
    let error = parse_rows("{\"kind\":\"step\"}\nnothing\n").expect_err("an invalid row");
    assert!(error.to_string().starts_with("line 2 of metrics.jsonl"), "{error}");
}
