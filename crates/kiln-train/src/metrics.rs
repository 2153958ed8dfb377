//! Metrics of a run: the rows of `metrics.jsonl`, one JSON object per line, in the order of the run.
//!
//! Each row has a `kind`: `step`, `validation`, `samples`, `compression` or `event`. Losses are in nats per token, seconds
//! count from the start of the stage, and steps and tokens over the whole run. A number that is not finite is written as
//! `null` and read back as NaN. Readers ignore unknown keys.
//!
//! [`LogFormat`] names the formats in which other programs read the same rows.
//!
//! ```
//! use kiln_train::metrics::{MetricsRow, parse};
//! let text = br#"{"kind":"step","step":1,"tokens":3072,"loss":6.9,"learning_rate":0.001,"gradient_norm":1.2,"seconds":0.2}"#;
//! let MetricsRow::Step(step) = &parse(text)?[0] else { panic!("not a step") };
//! assert_eq!((step.tokens, step.loss), (3072, 6.9));
//! # Ok::<(), kiln_train::metrics::MetricsParseError>(())
//! ```
mod csv;
mod log_format;
mod protobuf;
mod reader;
mod samples;
pub mod scalars;
mod tensorboard;

pub use log_format::{LogFormat, MetricsEncoder};
pub use reader::{MetricsParseError, parse, parse_lines};
pub use samples::{GrammarScore, GrammarSpan, Sample, Samples};

use crate::objective::MetricValue;
use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

/// One line of `metrics.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum MetricsRow {
    /// Metrics of one optimizer step.
    Step(StepMetrics),
    /// Result of an evaluation on validation data.
    Validation(ValidationMetrics),
    /// Generated texts.
    Samples(Samples),
    /// Compression of text by the model and by general-purpose compressors.
    Compression(CompressionMetrics),
    /// Event of the run: the start, a resume, an interruption, the end.
    Event(RunEvent),
}

/// Metrics of one optimizer step.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StepMetrics {
    /// Number of steps of the run, including this one.
    pub step: u64,
    /// Number of training tokens of the run so far, without padding.
    pub tokens: u64,
    /// Mean training loss of the step, in nats per token.
    #[serde(deserialize_with = "null_is_nan")]
    pub loss: f64,
    /// Learning rate of the step.
    #[serde(deserialize_with = "null_is_nan")]
    pub learning_rate: f64,
    /// Global gradient norm before clipping.
    #[serde(deserialize_with = "null_is_nan")]
    pub gradient_norm: f64,
    /// Seconds since the start of the stage, over all processes that ran it.
    pub seconds: f64,
    /// Auxiliary losses by name, without their coefficients. Not written if there are none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[serde(rename = "losses")]
    pub auxiliary_losses: BTreeMap<String, Option<f64>>,
    /// Metrics of the objective by name, as means over its units. Not written if there are none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metrics: BTreeMap<String, Option<f64>>,
}

/// Result of an evaluation on validation data.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ValidationMetrics {
    /// Number of steps of the run so far.
    pub step: u64,
    /// Number of training tokens of the run so far, without padding.
    pub tokens: u64,
    /// Mean validation loss, in nats per token.
    #[serde(deserialize_with = "null_is_nan")]
    pub loss: f64,
    /// Cross-entropy of the generator of the built-in stories on the same text, in nats per token. Absent for other text.
    #[serde(default)]
    #[serde(rename = "floor")]
    pub reference_loss: Option<f64>,
    /// Validation loss in bits per byte of text.
    #[serde(deserialize_with = "null_is_nan")]
    pub bits_per_byte: f64,
    /// Fraction of tokens to which the model gives the highest probability. NaN for objectives that predict no tokens.
    #[serde(deserialize_with = "null_is_nan")]
    pub accuracy: f64,
    /// Number of predicted tokens.
    pub evaluated_tokens: u64,
    /// Number of bytes of text of the predicted tokens.
    pub evaluated_bytes: u64,
    /// Accuracy at tokens that the text before them determines, by kind of dependency. Absent for other text than the
    /// built-in stories.
    #[serde(default)]
    #[serde(rename = "kinds")]
    pub by_dependency: Option<BTreeMap<String, CorrectCount>>,
    /// Metrics of the objective by name. Not written if there are none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metrics: BTreeMap<String, MetricValue>,
    /// Seconds since the start of the stage, over all processes that ran it.
    pub seconds: f64,
}

/// Number of correct predictions out of a total.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CorrectCount {
    /// Number of correct predictions.
    #[serde(rename = "right")]
    pub correct: u64,
    /// Number of predictions.
    pub total: u64,
}

/// Compression of the same text by the model and by general-purpose compressors, in bits per byte.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CompressionMetrics {
    /// Number of steps of the run so far.
    pub step: u64,
    /// Length of the text in bytes.
    #[serde(rename = "bytes")]
    pub text_bytes: u64,
    /// Loss of the model in bits per byte.
    #[serde(deserialize_with = "null_is_nan")]
    pub model_bits_per_byte: f64,
    /// gzip at its highest level, bits per byte.
    pub gzip: f64,
    /// xz at its highest level, bits per byte.
    pub xz: f64,
    /// Zstandard at its highest level, bits per byte.
    pub zstd: f64,
}

/// Event of the run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunEvent {
    /// Number of steps of the run so far.
    pub step: u64,
    /// Kind of the event.
    #[serde(rename = "event")]
    pub kind: EventKind,
    /// Description of the event, for people.
    pub detail: String,
    /// Seconds since the start of the stage, over all processes that ran it.
    pub seconds: f64,
}

/// Kind of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// The run was started; the detail is the command line and the version of the program. Only the command writes it.
    Started,
    /// The run was resumed from a checkpoint.
    Resumed,
    /// The run was asked to stop, and saved a checkpoint.
    Interrupted,
    /// The stage completed all its steps.
    Finished,
    /// A loss or a gradient was not finite, and the run stopped.
    NotFinite,
}

impl MetricsRow {
    /// Number of steps of the run when the row was written.
    pub fn step(&self) -> u64 {
        match self {
            Self::Step(row) => row.step,
            Self::Validation(row) => row.step,
            Self::Samples(row) => row.step,
            Self::Compression(row) => row.step,
            Self::Event(row) => row.step,
        }
    }

    /// The row as a line of JSON, with a newline at the end.
    pub fn to_json_line(&self) -> String {
        let mut line = serde_json::to_string(self).expect("a row is strings, numbers and lists of them");
        line.push('\n');
        line
    }
}

/// Reads `null` as NaN.
pub(crate) fn null_is_nan<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or(f64::NAN))
}

#[cfg(test)]
mod tests;
