//! Pages with hostile text in every field: tags, attributes and template syntax.

use std::collections::BTreeMap;

use super::super::*;

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
    let page = inspect::InspectPage {
        name: text.clone(),
        text: text.clone(),
        omitted_tokens: 3,
        tokens: vec![text.clone(), "b".into()],
        attention: vec![inspect::LayerAttention { path: text.clone(), heads: vec![vec![1.0, 0.0, 0.5, 0.5], vec![]] }],
        lens: vec![inspect::LensRow { name: text.clone(), top_tokens: vec![(text, f64::NAN)] }],
    };
    assert_harmless(&render_inspect(&page));
    let empty = render_inspect(&inspect::InspectPage::default());
    assert!(empty.contains("0 tokens") && !empty.contains("Attention maps"));
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
    let token = ExampleToken {
        input: text.clone(),
        target: Some(text.clone()),
        is_masked: true,
        heading: text.clone(),
        weight: 1.0,
    };
    let page = render_report(&Report {
        commands: vec![HOSTILE.into()],
        base: Some(BaseModel { name: HOSTILE.into(), method: HOSTILE.into(), ..BaseModel::default() }),
        expert_loads: vec![ExpertLoad { layer: HOSTILE.into(), shares: vec![f64::NAN, 1.0] }],
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
    let config_diff = BTreeMap::from([(text.clone(), text.clone())]);
    let run = ComparedRun {
        name: text,
        config_diff,
        validation_loss: Some(2.0),
        rows: hostile_rows(),
        ..ComparedRun::default()
    };
    assert_harmless(&render_comparison(&Comparison { runs: vec![run.clone(), run] }));
}
