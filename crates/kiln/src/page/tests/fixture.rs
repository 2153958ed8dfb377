//! A made-up run for the tests of the pages.

use std::collections::BTreeMap;

use super::super::{
    AnswerCounts, BetterValues, CheckpointEntry, Compression, EventRow, ExampleToken, MetricDescription, MetricResult,
    ObjectiveExample, Report, Row, Sample, SamplesRow, StepRow, ValidationRow, Verdict,
};
use super::fixture_model::{example, model};

/// Entropy of the made-up stories, in nats per token.
const FLOOR: f64 = 1.634;
const TOKENS_PER_STEP: u64 = 3072;
const SECONDS_PER_STEP: f64 = 0.247;

/// Kinds of dependency: name, steps until about two thirds of the final accuracy, final accuracy.
const KINDS: [(&str, f64, f64); 4] =
    [("local", 30.0, 0.99), ("agreement", 130.0, 0.95), ("recall", 300.0, 0.86), ("ownership", 420.0, 0.74)];

/// Sentences of two samples.
const TEXTS: [[&str; 4]; 2] = [
    [
        "The old ferryman keeps a lantern. ",
        "Mara the map in gave the cellar. ",
        "She reads it by the window. ",
        "The lantern belongs to the ferryman.",
    ],
    [
        "Two bakers walk to the mill. ",
        "They carries the flour home. ",
        "Bread the is of warm. ",
        "The mill belongs to nobody, says the elder baker.",
    ],
];

/// A pseudo-random value in −1..1.
fn noise(n: u64) -> f64 {
    let mixed = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (n << 7);
    (mixed.wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 40) as f64 / (1u64 << 23) as f64 - 1.0
}

fn loss(step: u64, scale: f64) -> f64 {
    FLOOR + 0.28 + 5.0 * (-(step as f64) / (40.0 * scale)).exp() + 0.9 * (-(step as f64) / (220.0 * scale)).exp()
}

/// The rows of a run of `steps` steps. A greater `scale` learns more slowly.
pub fn rows(steps: u64, scale: f64) -> Vec<Row> {
    let every = (steps / 14).max(1);
    let mut rows = Vec::new();
    for step in 1..=steps {
        rows.push(Row::Step(step_row(step, steps, scale)));
        if step % every == 0 || step == steps {
            rows.push(Row::Validation(validation_row(step, scale)));
            rows.push(Row::Samples(samples_row(step, steps)));
        }
    }
    rows.push(event(steps * 5 / 9, "interrupted", "Ctrl-C; state saved"));
    rows.push(event(steps * 5 / 9, "resumed", "from step-000400, 2 threads"));
    rows.push(event(steps, "finished", ""));
    rows
}

fn event(step: u64, event: &str, detail: &str) -> Row {
    let seconds = Some(step as f64 * SECONDS_PER_STEP);
    Row::Event(EventRow { step, event: event.into(), detail: Some(detail.into()), seconds })
}

fn step_row(step: u64, steps: u64, scale: f64) -> StepRow {
    let rate = 3e-3 * (step as f64 / 40.0).min(1.0) * (0.55 + 0.45 * (3.1 * step as f64 / steps as f64).cos());
    let spike = if step == steps / 3 { 1.4 } else { 0.0 };
    StepRow {
        step,
        tokens: step * TOKENS_PER_STEP,
        loss: Some(loss(step, scale) - 0.03 + 0.09 * noise(step) + spike),
        learning_rate: Some(rate),
        gradient_norm: Some(0.6 + 3.0 * (-(step as f64) / 30.0).exp() + 0.12 * noise(step + 9) + 4.0 * spike),
        seconds: Some(step as f64 * SECONDS_PER_STEP + 0.4 * noise(step / 9)),
        losses: BTreeMap::from([(
            "balance".into(),
            Some(0.012 + 0.05 * (-(step as f64) / 60.0).exp() + 0.001 * noise(step)),
        )]),
        metrics: BTreeMap::new(),
    }
}

fn validation_row(step: u64, scale: f64) -> ValidationRow {
    let accuracy_by_kind = KINDS.into_iter().map(|(kind, pace, best)| {
        let share = best * (1.0 - (-(step as f64) / (pace * scale)).exp()) + 0.02 * noise(step + pace as u64);
        (kind.to_string(), AnswerCounts { correct: (400.0 * share.clamp(0.0, 1.0)) as u64, total: 400 })
    });
    ValidationRow {
        step,
        tokens: step * TOKENS_PER_STEP,
        loss: Some(loss(step, scale) + 0.01),
        floor: Some(FLOOR),
        bits_per_byte: Some(loss(step, scale) / 2.4),
        accuracy: Some(0.6 - 0.5 * (-(step as f64) / 100.0).exp()),
        accuracy_by_kind: Some(accuracy_by_kind.collect()),
        metrics: BTreeMap::new(),
        seconds: Some(step as f64 * SECONDS_PER_STEP),
    }
}

/// Samples with fewer and fewer rejected sentences.
fn samples_row(step: u64, steps: u64) -> SamplesRow {
    let rejected = 3 - (4 * step / steps).min(3) as usize;
    let share = 1.0 - 1.02 * (-(step as f64) / 130.0).exp();
    SamplesRow {
        step,
        samples: TEXTS.iter().map(|sentences| sample(sentences, rejected)).collect(),
        acceptance_rate: Some(share.clamp(0.0, 0.98)),
    }
}

/// A sample in which the `rejected` sentences after the first one are rejected.
fn sample(sentences: &[&str; 4], rejected: usize) -> Sample {
    let mut start = 0;
    let verdicts = sentences.iter().enumerate().map(|(index, sentence)| {
        let end = start + sentence.trim_end().len();
        let verdict = Verdict { start, end, accepted: index == 0 || index > rejected };
        start += sentence.len();
        verdict
    });
    Sample {
        prompt: String::new(),
        verdicts: verdicts.collect(),
        text: sentences.concat(),
        sentences: Some(4),
        well_formed: Some(4 - rejected as u64),
        consistent: Some(3u64.saturating_sub(rejected as u64)),
    }
}

/// A finished run of `steps` steps on the built-in stories.
pub fn report(steps: u64) -> Report {
    let run_info =
        [("data", "built-in stories"), ("tokenizer", "BPE, 1024 tokens"), ("device", "CPU, 2 threads"), ("seed", "7")];
    Report {
        name: "window-64".into(),
        objective: "full".into(),
        run_info: run_info.map(|(name, value)| (name.to_string(), value.to_string())).into(),
        parameters: model().total_parameters,
        steps,
        tokens: steps * TOKENS_PER_STEP,
        seconds: steps as f64 * SECONDS_PER_STEP,
        tokens_per_second: Some(12_437.0),
        train_loss: Some(1.902),
        validation_loss: Some(1.934),
        floor: Some(FLOOR),
        acceptance_rate: Some(0.88),
        bits_per_byte: Some(0.806),
        recipe_toml: "version = 1\nseed = 7\n\n[data]\nsource = { stories = { seed = 0, megabytes = 1.0 } }\n\n[model]\nhidden = 192\nvisibility = \"causal\"\n\n[[stages]]\nname = \"pretrain\"\nobjective = \"full\"\nsteps = 720\n".into(),
        rows: rows(steps, 1.0),
        model: model(),
        examples: vec![example()],
        checkpoints: [(200, false), (400, false), (600, false), (720, true)].map(checkpoint).into(),
        compression: None,
        is_pseudo: false,
        ..Report::default()
    }
}

fn checkpoint((step, is_best): (u64, bool)) -> CheckpointEntry {
    CheckpointEntry { step, validation_loss: Some(loss(step, 1.0) + 0.01), bytes: 31_457_280, is_best }
}

/// A finished run of `steps` steps on other text.
pub fn report_of_text(steps: u64) -> Report {
    let mut report = report(steps);
    for row in &mut report.rows {
        match row {
            Row::Validation(validation) => {
                validation.floor = None;
                validation.accuracy_by_kind = None;
            }
            Row::Samples(samples) => samples.acceptance_rate = None,
            _ => {}
        }
    }
    let compression =
        Compression { bytes: 1_234_567, model: Some(1.42), gzip: Some(2.31), xz: Some(1.83), zstd: Some(1.91) };
    Report { floor: None, acceptance_rate: None, bits_per_byte: Some(1.42), compression: Some(compression), ..report }
}

/// A finished run of `steps` steps on preferences.
pub fn report_of_preferences(steps: u64) -> Report {
    let accuracy = |step: u64| 0.5 + 0.45 * (1.0 - (-(step as f64) / 60.0).exp());
    let margin = |step: u64| 2.5 * (1.0 - (-(step as f64) / 90.0).exp()) - 0.05;
    let loss = |step: u64| 0.1 + 0.59 * (-(step as f64) / 80.0).exp();
    let mut report = report_of_text(steps);
    for row in &mut report.rows {
        match row {
            Row::Step(row) => {
                row.loss = Some(loss(row.step) + 0.02 * noise(row.step));
                let values = [("accuracy", accuracy(row.step)), ("margin", margin(row.step))];
                let noisy = values.map(|(name, value)| (name.to_string(), Some(value + 0.04 * noise(row.step + 3))));
                row.metrics = noisy.into();
            }
            Row::Validation(row) => {
                (row.loss, row.bits_per_byte, row.accuracy) = (Some(loss(row.step) + 0.01), None, None);
                let result = |value, unit: &str, better| MetricResult { value: Some(value), unit: unit.into(), better };
                row.metrics = BTreeMap::from([
                    ("accuracy".into(), result(accuracy(row.step), "", BetterValues::Higher)),
                    ("margin".into(), result(margin(row.step), "nats", BetterValues::Higher)),
                    ("kl_divergence".into(), result(0.3 * margin(row.step), "nats", BetterValues::Lower)),
                ]);
            }
            _ => {}
        }
    }
    let describe = |name: &str, unit: &str, description: &str| MetricDescription {
        name: name.into(),
        unit: unit.into(),
        better: BetterValues::Higher,
        description: description.into(),
    };
    let tokens = [("<bos>", "Why"), ("Why", "?"), ("?", "So"), ("So", "<eos>")];
    let tokens = tokens.iter().chain(&tokens).enumerate().map(|(index, (input, target))| ExampleToken {
        input: (*input).into(),
        target: (index % 4 >= 2).then(|| (*target).into()),
        weight: f32::from(index % 4 >= 2),
        heading: ["chosen", "", "", "", "rejected", "", "", ""][index].into(),
        ..ExampleToken::default()
    });
    let title = "Inputs and targets of the objective `preference`.".into();
    Report {
        objective: "preference".into(),
        loss_unit: "pair".into(),
        train_loss: Some(loss(steps)),
        validation_loss: Some(loss(steps) + 0.01),
        bits_per_byte: None,
        compression: None,
        metrics: vec![
            describe("accuracy", "", "pairs whose chosen answer has the greater reward"),
            describe("margin", "nats", "reward of the chosen answer over that of the rejected one"),
        ],
        examples: vec![ObjectiveExample { title, tokens: tokens.collect(), pattern: None }],
        ..report
    }
}
