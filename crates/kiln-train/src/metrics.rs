//! The rows of `metrics.jsonl`: one JSON object a line, in the order of the run.
//!
//! Losses are nats per token; seconds count from the start of the stage. A number that is not finite is written as
//! `null` and read back as NaN.
mod reader;
mod samples;

pub use reader::{MetricsParseError, parse, parse_lines};
pub use samples::{GrammarScore, GrammarSpan, Sample, Samples};

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

/// One line of `metrics.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum MetricsRow {
    /// One optimiser step.
    Step(StepMetrics),
    /// The model on held-out data.
    Validation(ValidationMetrics),
    /// What the model writes.
    Samples(Samples),
    /// Bits per byte beside general-purpose compressors, on the same bytes.
    Compression(CompressionMetrics),
    /// Something that happened to the run.
    Event(RunEvent),
}

/// One optimiser step.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StepMetrics {
    /// Steps done, this one included.
    pub step: u64,
    /// Tokens trained on so far.
    pub tokens: u64,
    /// Mean loss of the step, nats per token.
    #[serde(deserialize_with = "null_is_nan")]
    pub loss: f64,
    /// Learning rate of the step.
    #[serde(deserialize_with = "null_is_nan")]
    pub learning_rate: f64,
    /// Global norm of the gradient before clipping.
    #[serde(deserialize_with = "null_is_nan")]
    pub gradient_norm: f64,
    /// Since the stage began.
    pub seconds: f64,
    /// Losses that parts added, by name; absent if none did.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[serde(rename = "losses")]
    pub auxiliary_losses: BTreeMap<String, Option<f64>>,
}

/// The model on held-out data.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ValidationMetrics {
    /// Steps done.
    pub step: u64,
    /// Tokens trained on so far.
    pub tokens: u64,
    /// Mean loss, nats per token.
    #[serde(deserialize_with = "null_is_nan")]
    pub loss: f64,
    /// The generator's own loss on the same text, nats per token; built-in corpus only.
    #[serde(default)]
    #[serde(rename = "floor")]
    pub reference_loss: Option<f64>,
    /// The loss in bits per byte of text.
    #[serde(deserialize_with = "null_is_nan")]
    pub bits_per_byte: f64,
    /// Share of tokens whose likeliest guess is right.
    pub accuracy: f64,
    /// Tokens that the loss is a mean over.
    pub evaluated_tokens: u64,
    /// Bytes of text that they stand for.
    pub evaluated_bytes: u64,
    /// Tokens that the text decides, by kind of dependency; built-in corpus only.
    #[serde(default)]
    #[serde(rename = "kinds")]
    pub by_dependency: Option<BTreeMap<String, CorrectCount>>,
    /// Since the stage began.
    pub seconds: f64,
}

/// How many of so many were right.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CorrectCount {
    /// Guessed right.
    #[serde(rename = "right")]
    pub correct: u64,
    /// Asked for.
    pub total: u64,
}

/// Bits per byte beside general-purpose compressors, on the same bytes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CompressionMetrics {
    /// Steps done.
    pub step: u64,
    /// Length of the text.
    #[serde(rename = "bytes")]
    pub text_bytes: u64,
    /// The model's loss on it, bits per byte.
    #[serde(deserialize_with = "null_is_nan")]
    pub model_bits_per_byte: f64,
    /// gzip at its best, bits per byte.
    pub gzip: f64,
    /// xz at its best, bits per byte.
    pub xz: f64,
    /// Zstandard at its best, bits per byte.
    pub zstd: f64,
}

/// Something that happened to the run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunEvent {
    /// Steps done.
    pub step: u64,
    /// What happened.
    #[serde(rename = "event")]
    pub kind: EventKind,
    /// In words.
    pub detail: String,
    /// Since the stage began.
    pub seconds: f64,
}

/// What can happen to a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// It goes on from a checkpoint.
    Resumed,
    /// It was asked to stop, and saved.
    Interrupted,
    /// It did all its steps.
    Finished,
    /// A loss or gradient was not finite, and the run stopped.
    NotFinite,
}

impl MetricsRow {
    /// The number of steps done when it was written.
    pub fn step(&self) -> u64 {
        match self {
            Self::Step(row) => row.step,
            Self::Validation(row) => row.step,
            Self::Samples(row) => row.step,
            Self::Compression(row) => row.step,
            Self::Event(row) => row.step,
        }
    }

    /// The row as a line, with its end.
    pub fn to_json_line(&self) -> String {
        let mut line = serde_json::to_string(self).expect("a row is strings, numbers and lists of them");
        line.push('\n');
        line
    }
}

fn null_is_nan<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or(f64::NAN))
}

#[cfg(test)]
mod tests;
