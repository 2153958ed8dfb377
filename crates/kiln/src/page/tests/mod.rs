//! Complete pages: with hostile text, with missing and non-finite values, and of long runs.

mod fixture;
mod fixture_model;

use std::collections::BTreeMap;

use super::*;

const HOSTILE: &str = "</script><script>alert(1)</script><b onclick='x()'>\"{{ 7 * 7 }}";

/// Asserts that the hostile text is escaped, not evaluated as a template, and nowhere a tag.
fn assert_harmless(page: &str) {
    let scripts = page.matches("<script").count();
    assert_eq!((scripts, page.matches("</script").count()), (1, 1), "only the page's own script");
    assert!(!page.contains("<b onclick") && !page.contains("onclick='x()'"));
    assert!(page.contains("&lt;script&gt;alert(1)") && page.contains("{{ 7 * 7 }}"));
}

#[test]
fn a_model_analysis_shows_hostile_text_as_text() {
    let text = HOSTILE.to_string();
    let inside = inspect::InspectPage {
        name: text.clone(),
        text: text.clone(),
        omitted_tokens: 3,
        tokens: vec![text.clone(), "b".into()],
        attention: vec![inspect::LayerAttention { path: text.clone(), heads: vec![vec![1.0, 0.0, 0.5, 0.5], vec![]] }],
        lens: vec![inspect::LensRow { name: text.clone(), top_tokens: vec![(text, f64::NAN)] }],
    };
    assert_harmless(&super::render_inspect(&inside));
    let nothing = super::render_inspect(&inspect::InspectPage::default());
    assert!(nothing.contains("0 tokens") && !nothing.contains("Attention maps"));
}

fn hostile_rows() -> Vec<Row> {
    let text = HOSTILE.to_string();
    let sample = Sample {
        prompt: text.clone(),
        text: text.clone(),
        verdicts: vec![Verdict { start: 3, end: 20, accepted: false }],
        ..Sample::default()
    };
    let answers = BTreeMap::from([(text.clone(), AnswerCounts { correct: 1, total: 2 })]);
    vec![
        Row::Step(StepRow {
            step: 1,
            loss: Some(2.0),
            losses: BTreeMap::from([(text.clone(), Some(1.0))]),
            ..StepRow::default()
        }),
        Row::Validation(ValidationRow {
            step: 1,
            loss: Some(2.0),
            accuracy_by_kind: Some(answers),
            ..ValidationRow::default()
        }),
        Row::Samples(SamplesRow { step: 1, samples: vec![sample], acceptance_rate: None }),
        Row::Event(EventRow { step: 1, event: text.clone(), detail: Some(text), seconds: None }),
    ]
}

#[test]
fn a_report_shows_hostile_text_as_text() {
    let text = HOSTILE.to_string();
    let pattern = PatternMask { size: 1, cells: vec![1], title: text.clone() };
    let layer = LayerSummary {
        path: format!("blocks.0.{text}"),
        title: text.clone(),
        kernel: Some(text.clone()),
        kernel_reason: Some(text.clone()),
        pattern: Some(pattern.clone()),
        ..LayerSummary::default()
    };
    let token = ExampleToken { input: text.clone(), target: Some(text.clone()), is_masked: true };
    let page = render_report(&Report {
        name: text.clone(),
        objective: text.clone(),
        run_info: vec![(text.clone(), text.clone())],
        recipe_toml: text.clone(),
        rows: hostile_rows(),
        model: ModelSummary { stack: text.clone(), layers: vec![layer], ..ModelSummary::default() },
        examples: vec![ObjectiveExample { title: text, tokens: vec![token], pattern: Some(pattern) }],
        ..Report::default()
    });
    assert_harmless(&page);
}

#[test]
fn a_comparison_shows_hostile_text_as_text() {
    let text = HOSTILE.to_string();
    let differs = BTreeMap::from([(text.clone(), text.clone())]);
    let run = ComparedRun {
        name: text,
        config_diff: differs,
        validation_loss: Some(2.0),
        rows: hostile_rows(),
        ..ComparedRun::default()
    };
    assert_harmless(&render_comparison(&Comparison { runs: vec![run.clone(), run] }));
}

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

#[test]
fn non_finite_values_leave_gaps() {
    let losses = [5.0, f64::NAN, f64::INFINITY, 4.0, f64::NEG_INFINITY, -1e308, 1e308];
    let step = |(nth, loss): (usize, &f64)| {
        let (step, bad) = (nth as u64 + 1, Some(*loss));
        let losses = BTreeMap::from([("balance".to_string(), bad)]);
        Row::Step(StepRow {
            step,
            loss: bad,
            learning_rate: bad,
            gradient_norm: bad,
            seconds: bad,
            losses,
            ..StepRow::default()
        })
    };
    let round = |(nth, loss): (usize, &f64)| {
        Row::Validation(ValidationRow {
            step: nth as u64 + 1,
            loss: Some(*loss),
            accuracy: Some(*loss),
            ..ValidationRow::default()
        })
    };
    let rows: Vec<Row> = losses.iter().enumerate().map(step).chain(losses.iter().enumerate().map(round)).collect();
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
    let finished = "After 720 steps (2.21 M tokens, 2 min 58 s) validation loss is 1.93 nats per token, 18 % above the floor of 1.63.";
    assert_eq!(run_summary(&run), finished);
    run.rows.push(Row::Event(EventRow { event: "interrupted".into(), ..EventRow::default() }));
    assert!(run_summary(&run).starts_with("Interrupted after 720 steps"));
    let text = "validation loss is 1.93 nats per token, 1.42 bits per byte (xz: 1.83).";
    assert!(run_summary(&fixture::report_of_text(720)).ends_with(text));
    let masked = Report { is_pseudo: true, validation_loss: Some(1.0), ..Report::default() };
    assert!(run_summary(&masked).ends_with("validation loss of masked tokens is 1.00 nats per token."));
}

#[test]
fn missing_data_has_no_section() {
    let whole = render_report(&fixture::report(50));
    let bare = render_report(&Report { rows: fixture::rows(50, 1.0), ..Report::default() });
    for heading in ["Objective example", "Model</h2>", "Checkpoints", "<summary>Recipe"] {
        assert!(whole.contains(heading) && !bare.contains(heading), "{heading}");
    }
    assert!(whole.contains("ownership") && !whole.contains("Compression compared with gzip"));
    assert!(render_report(&fixture::report_of_text(50)).contains("Compression compared with gzip"));
}

#[test]
fn metrics_are_read_line_by_line() {
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
    let error = parse_rows("{\"kind\":\"step\"}\nnothing\n").expect_err("no row");
    assert!(error.to_string().starts_with("line 2 of metrics.jsonl"), "{error}");
}
