//! A made-up run for the tests of the pages.

use std::collections::BTreeMap;

use super::super::{
    AnswerCounts, CheckpointEntry, Compression, EventRow, Report, Row, Sample, SamplesRow, StepRow, ValidationRow,
    Verdict,
};
use super::fixture_model::{example, model};

const FLOOR: f64 = 1.634;

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
        rows.push(Row::Step(train(step, steps, scale)));
        if step % every == 0 || step == steps {
            rows.push(Row::Validation(validate(step, scale)));
            rows.push(Row::Samples(write(step, steps)));
        }
    }
    let event = |step, event: &str, detail: &str| EventRow {
        step,
        event: event.into(),
        detail: Some(detail.into()),
        seconds: Some(step as f64 * 0.247),
    };
    rows.push(Row::Event(event(steps * 5 / 9, "interrupted", "Ctrl-C; state saved")));
    rows.push(Row::Event(event(steps * 5 / 9, "resumed", "from step-000400, 2 threads")));
    rows.push(Row::Event(event(steps, "finished", "")));
    rows
}

fn train(step: u64, steps: u64, scale: f64) -> StepRow {
    let rate = 3e-3 * (step as f64 / 40.0).min(1.0) * (0.55 + 0.45 * (3.1 * step as f64 / steps as f64).cos());
    let spike = if step == steps / 3 { 1.4 } else { 0.0 };
    StepRow {
        step,
        tokens: step * 3072,
        loss: Some(loss(step, scale) - 0.03 + 0.09 * noise(step) + spike),
        learning_rate: Some(rate),
        gradient_norm: Some(0.6 + 3.0 * (-(step as f64) / 30.0).exp() + 0.12 * noise(step + 9) + 4.0 * spike),
        seconds: Some(step as f64 * 0.247 + 0.4 * noise(step / 9)),
        losses: BTreeMap::from([(
            "balance".into(),
            Some(0.012 + 0.05 * (-(step as f64) / 60.0).exp() + 0.001 * noise(step)),
        )]),
    }
}

fn validate(step: u64, scale: f64) -> ValidationRow {
    let kinds =
        [("local", 30.0, 0.99), ("agreement", 130.0, 0.95), ("recall", 300.0, 0.86), ("ownership", 420.0, 0.74)];
    let answers = |(kind, pace, best): (&str, f64, f64)| {
        let share = best * (1.0 - (-(step as f64) / (pace * scale)).exp()) + 0.02 * noise(step + pace as u64);
        (kind.to_string(), AnswerCounts { correct: (400.0 * share.clamp(0.0, 1.0)) as u64, total: 400 })
    };
    ValidationRow {
        step,
        tokens: step * 3072,
        loss: Some(loss(step, scale) + 0.01),
        floor: Some(FLOOR),
        bits_per_byte: Some(loss(step, scale) / 2.4),
        accuracy: Some(0.6 - 0.5 * (-(step as f64) / 100.0).exp()),
        accuracy_by_kind: Some(kinds.into_iter().map(answers).collect()),
        seconds: Some(step as f64 * 0.247),
    }
}

fn write(step: u64, steps: u64) -> SamplesRow {
    let bad = match 4 * step / steps {
        0 => 3,
        1 => 2,
        2 => 1,
        _ => 0,
    };
    let texts = [
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
    let sample = |sentences: &[&str; 4]| {
        let mut at = 0;
        let marks = sentences.iter().enumerate().map(|(nth, sentence)| {
            at += sentence.len();
            Verdict { start: at - sentence.len(), end: at - usize::from(nth < 3), accepted: nth == 0 || nth > bad }
        });
        Sample {
            prompt: String::new(),
            verdicts: marks.collect(),
            text: sentences.concat(),
            sentences: Some(4),
            well_formed: Some(4 - bad as u64),
            consistent: Some((4 - bad as u64).saturating_sub(1)),
        }
    };
    let share = 1.0 - 1.02 * (-(step as f64) / 130.0).exp();
    SamplesRow { step, samples: texts.iter().map(sample).collect(), acceptance_rate: Some(share.clamp(0.0, 0.98)) }
}

/// A finished run of `steps` steps on the built-in stories.
pub fn report(steps: u64) -> Report {
    let fact = |name: &str, value: &str| (name.to_string(), value.to_string());
    let checkpoint = |(step, best)| CheckpointEntry {
        step,
        validation_loss: Some(loss(step, 1.0) + 0.01),
        bytes: 31_457_280,
        is_best: best,
    };
    Report {
        name: "window-64".into(),
        objective: "full".into(),
        run_info: vec![fact("data", "built-in corpus"), fact("tokenizer", "BPE, 1024 tokens"), fact("device", "CPU, 2 threads"), fact("seed", "7")],
        parameters: model().total_parameters,
        steps,
        tokens: steps * 3072,
        seconds: steps as f64 * 0.247,
        tokens_per_second: Some(12_437.0),
        train_loss: Some(1.902),
        validation_loss: Some(1.934),
        floor: Some(FLOOR),
        acceptance_rate: Some(0.88),
        bits_per_byte: Some(0.806),
        recipe_toml: "version = 1\nseed = 7\n\n[data]\nbuiltin = \"village\"\n\n[model]\nhidden = 192\nvisibility = \"causal\"\n\n[[stages]]\nname = \"pretrain\"\nobjective = \"full\"\nsteps = 720\n".into(),
        rows: rows(steps, 1.0),
        model: model(),
        examples: vec![example()],
        checkpoints: [(200, false), (400, false), (600, false), (720, true)].map(checkpoint).to_vec(),
        compression: None,
        is_pseudo: false,
    }
}

/// A finished run of `steps` steps on other text.
pub fn report_of_text(steps: u64) -> Report {
    let mut report = report(steps);
    for row in &mut report.rows {
        match row {
            Row::Validation(round) => (round.floor, round.accuracy_by_kind) = (None, None),
            Row::Samples(samples) => samples.acceptance_rate = None,
            _ => {}
        }
    }
    let compression =
        Compression { bytes: 1_234_567, model: Some(1.42), gzip: Some(2.31), xz: Some(1.83), zstd: Some(1.91) };
    Report { floor: None, acceptance_rate: None, bits_per_byte: Some(1.42), compression: Some(compression), ..report }
}
