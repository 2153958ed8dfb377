//! The lines of `metrics.jsonl` as the pages read them.
//!
//! A number that JSON cannot write (infinite, not a number) stands there as null and is read as `None`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// One line of `metrics.jsonl`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Row {
    /// A step of training.
    Step(StepRow),
    /// A round of validation.
    Validation(ValidationRow),
    /// Texts that the model wrote.
    Samples(SamplesRow),
    /// The model beside general compressors.
    Compression {
        /// Step after which it was measured.
        step: u64,
        /// The figures.
        #[serde(flatten)]
        compression: super::data::Compression,
    },
    /// Something that happened to the run.
    Event(EventRow),
    /// A kind of line that these pages do not show.
    #[serde(other)]
    Other,
}

/// A step of training.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct StepRow {
    /// Number of the step, from 1.
    pub step: u64,
    /// Tokens trained on so far.
    pub tokens: u64,
    /// Mean loss of the step.
    pub loss: Option<f64>,
    /// Learning rate of the step.
    pub learning_rate: Option<f64>,
    /// Norm of the gradient before clipping.
    pub gradient_norm: Option<f64>,
    /// Time since the stage began.
    pub seconds: Option<f64>,
    /// Losses that parts of the model added, by name.
    pub losses: BTreeMap<String, Option<f64>>,
}

/// A round of validation.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ValidationRow {
    /// Step after which it ran.
    pub step: u64,
    /// Tokens trained on so far.
    pub tokens: u64,
    /// Mean loss.
    pub loss: Option<f64>,
    /// Entropy of the built-in corpus on the same text.
    pub floor: Option<f64>,
    /// Bits a byte.
    pub bits_per_byte: Option<f64>,
    /// Share of tokens whose most likely prediction is right.
    pub accuracy: Option<f64>,
    /// Answers by kind of question that the built-in corpus asks.
    #[serde(rename = "kinds")]
    pub accuracy_by_kind: Option<BTreeMap<String, AnswerCounts>>,
    /// Time since the stage began.
    pub seconds: Option<f64>,
}

/// How many were right of how many.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct AnswerCounts {
    /// Right ones.
    #[serde(rename = "right")]
    pub correct: u64,
    /// All.
    pub total: u64,
}

impl AnswerCounts {
    /// The share that is right; `None` if nothing was asked.
    pub fn accuracy(self) -> Option<f64> {
        (self.total > 0).then(|| self.correct as f64 / self.total as f64)
    }
}

/// Texts that the model wrote at one moment.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct SamplesRow {
    /// Step after which they were written.
    pub step: u64,
    /// The texts.
    pub samples: Vec<Sample>,
    /// Share of all their sentences that are well formed.
    #[serde(rename = "accepted")]
    pub acceptance_rate: Option<f64>,
}

/// A text that the model wrote.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Sample {
    /// What it was given to go on from.
    pub prompt: String,
    /// What it wrote.
    pub text: String,
    /// Sentences in the text (built-in corpus only).
    pub sentences: Option<u64>,
    /// Sentences that the grammar could have made.
    pub well_formed: Option<u64>,
    /// Sentences that also agree with the ones before.
    pub consistent: Option<u64>,
    /// Verdicts on stretches of the text; stretches without one are shown plainly.
    #[serde(rename = "marks")]
    pub verdicts: Vec<Verdict>,
}

/// A verdict on a stretch of a text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// Its first byte.
    pub start: usize,
    /// The byte after its last one.
    pub end: usize,
    /// Whether it is accepted.
    #[serde(rename = "ok")]
    pub accepted: bool,
}

/// Something that happened to the run.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct EventRow {
    /// Step after which it happened.
    pub step: u64,
    /// `resumed`, `interrupted`, `finished` or `not_finite`.
    pub event: String,
    /// What else is to be said.
    pub detail: Option<String>,
    /// Time since the stage began.
    pub seconds: Option<f64>,
}

/// A line of `metrics.jsonl` that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("line {line} of metrics.jsonl is not a line that Kiln writes ({source}); restore it or delete it")]
pub struct InvalidRow {
    /// Number of the line, from 1.
    pub line: usize,
    /// What the parser found.
    pub source: serde_json::Error,
}

/// Reads a `metrics.jsonl`. An unfinished last line, as an interrupted run may leave it, is left out.
///
/// # Errors
/// [`BadRow`] at the first finished line that is no row.
pub fn parse_rows(text: &str) -> Result<Vec<Row>, InvalidRow> {
    let finished = text.rfind('\n').map_or("", |end| &text[..end]);
    finished
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty())
        .map(|(at, line)| serde_json::from_str(line).map_err(|source| InvalidRow { line: at + 1, source }))
        .collect()
}
