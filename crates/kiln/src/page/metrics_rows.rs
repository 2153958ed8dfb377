//! The rows of `metrics.jsonl`, as the pages read them.
//!
//! JSON has no infinity and no NaN; such numbers are written as null and read as `None`. The serde names are the file
//! format. A row is one line:
//!
//! ```json
//! {"kind":"step","step":1,"tokens":3072,"loss":6.9,"learning_rate":0.0003,"gradient_norm":1.2,"seconds":0.21}
//! {"kind":"validation","step":50,"tokens":153600,"loss":2.1,"accuracy":0.54,"seconds":13.2}
//! {"kind":"event","step":50,"event":"interrupted","detail":"Ctrl-C; state saved","seconds":13.4}
//! ```

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A row of `metrics.jsonl`. The field `kind` selects the variant.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Row {
    /// A training step.
    Step(StepRow),
    /// An evaluation.
    Validation(ValidationRow),
    /// Generated samples.
    Samples(SamplesRow),
    /// Comparison with general compressors.
    Compression {
        /// Step after which it was measured.
        step: u64,
        /// Bits per byte.
        #[serde(flatten)]
        compression: super::data::Compression,
    },
    /// An event of the run.
    Event(EventRow),
    /// A kind of row that the pages do not show.
    #[serde(other)]
    Other,
}

/// A training step.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct StepRow {
    /// Number of the step, from 1.
    pub step: u64,
    /// Training tokens so far.
    pub tokens: u64,
    /// Mean loss of the step, in nats per token or per other unit of the objective.
    pub loss: Option<f64>,
    /// Learning rate of the step.
    pub learning_rate: Option<f64>,
    /// Global gradient norm before clipping.
    pub gradient_norm: Option<f64>,
    /// Seconds since the start of the stage.
    pub seconds: Option<f64>,
    /// Auxiliary losses of the model (such as load balancing), by name.
    pub losses: BTreeMap<String, Option<f64>>,
    /// Metrics of the objective, by name.
    pub metrics: BTreeMap<String, Option<f64>>,
}

/// An evaluation.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ValidationRow {
    /// Step after which it ran.
    pub step: u64,
    /// Training tokens so far.
    pub tokens: u64,
    /// Mean loss, in nats per token or per other unit of the objective.
    pub loss: Option<f64>,
    /// Entropy of the built-in stories on the same text, in nats per token: the lowest possible loss.
    pub floor: Option<f64>,
    /// Bits per byte.
    pub bits_per_byte: Option<f64>,
    /// Share of tokens whose most likely prediction is correct.
    pub accuracy: Option<f64>,
    /// Accuracy by kind of dependency in the built-in stories.
    #[serde(rename = "kinds")]
    pub accuracy_by_kind: Option<BTreeMap<String, AnswerCounts>>,
    /// Metrics of the objective, by name.
    pub metrics: BTreeMap<String, MetricResult>,
    /// Seconds since the start of the stage.
    pub seconds: Option<f64>,
}

/// Value of a metric of the objective in an evaluation.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct MetricResult {
    /// Mean over all units of the objective, such as pairs.
    pub value: Option<f64>,
    /// Unit, such as `nats`; empty for a fraction.
    pub unit: String,
    /// Which values are better.
    pub better: BetterValues,
}

/// Which values of a metric are better.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BetterValues {
    /// Smaller values.
    #[default]
    Lower,
    /// Greater values.
    Higher,
}

impl BetterValues {
    /// Whether `value` is better than `other`.
    pub fn is_better(self, value: f64, other: f64) -> bool {
        match self {
            Self::Lower => value < other,
            Self::Higher => value > other,
        }
    }

    /// `lower is better` or `higher is better`.
    pub fn description(self) -> &'static str {
        match self {
            Self::Lower => "lower is better",
            Self::Higher => "higher is better",
        }
    }
}

/// Number of correct predictions, of a total. Written as `{"right": 61, "total": 100}`.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct AnswerCounts {
    /// Correct predictions.
    #[serde(rename = "right")]
    pub correct: u64,
    /// All predictions.
    pub total: u64,
}

impl AnswerCounts {
    /// Share of correct predictions; `None` if there were none.
    pub fn accuracy(self) -> Option<f64> {
        (self.total > 0).then(|| self.correct as f64 / self.total as f64)
    }
}

/// Samples generated after one step.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct SamplesRow {
    /// Step after which they were generated.
    pub step: u64,
    /// Generated texts.
    pub samples: Vec<Sample>,
    /// Share of their sentences that the grammar of the built-in stories accepts.
    #[serde(rename = "accepted")]
    pub acceptance_rate: Option<f64>,
}

/// A generated text.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Sample {
    /// Prompt.
    pub prompt: String,
    /// Text after the prompt.
    pub text: String,
    /// Number of sentences (built-in stories only).
    pub sentences: Option<u64>,
    /// Number of sentences that the grammar accepts.
    pub well_formed: Option<u64>,
    /// Number of sentences that are also consistent with the sentences before them.
    pub consistent: Option<u64>,
    /// Verdicts on ranges of the text. Text outside them is shown without a mark.
    #[serde(rename = "marks")]
    pub verdicts: Vec<Verdict>,
}

/// Verdict on a byte range of a text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// First byte.
    pub start: usize,
    /// Byte after the last one.
    pub end: usize,
    /// Whether the grammar accepts it.
    #[serde(rename = "ok")]
    pub accepted: bool,
}

/// An event of a run.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct EventRow {
    /// Step after which it occurred.
    pub step: u64,
    /// `resumed`, `interrupted`, `finished` or `not_finite`.
    pub event: String,
    /// More information.
    pub detail: Option<String>,
    /// Seconds since the start of the stage.
    pub seconds: Option<f64>,
}

/// An invalid line of `metrics.jsonl`.
#[derive(Debug, thiserror::Error)]
#[error("line {line} of metrics.jsonl is not a valid metrics record ({source}); restore the line or delete it")]
pub struct InvalidRow {
    /// Number of the line, from 1.
    pub line: usize,
    /// Error of the JSON parser.
    pub source: serde_json::Error,
}

/// Parses a `metrics.jsonl` file. An incomplete last line, which an interrupted run can leave, is ignored, as are empty
/// lines.
///
/// # Errors
/// [`InvalidRow`] for the first complete line that is not a row.
pub fn parse_rows(text: &str) -> Result<Vec<Row>, InvalidRow> {
    let complete = text.rfind('\n').map_or("", |end| &text[..end]);
    complete
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty())
        .map(|(index, line)| serde_json::from_str(line).map_err(|source| InvalidRow { line: index + 1, source }))
        .collect()
}
