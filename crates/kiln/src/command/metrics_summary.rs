//! Final metrics of a run, from the rows of `metrics.jsonl`.
//!
//! The result of `kiln train --json` is made of them:
//! `{"run","steps","tokens","train_loss","validation_loss","floor","accepted","seconds","tokens_per_second"}`. Metrics that a
//! run does not have are null; `floor` and `accepted` exist for the built-in stories only. An objective with metrics of its
//! own adds `"metrics":{name:{"value","unit","better"}}`, those of the last evaluation.

use crate::page::smooth;
use kiln_train::{
    metrics::{CompressionMetrics, CorrectCount, EventKind, MetricsRow, Samples, StepMetrics, ValidationMetrics},
    objective::MetricValue,
};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The last row of each kind in the metrics of a run.
#[derive(Clone, Debug, Default)]
pub struct MetricsSummary {
    /// Last training step.
    pub last_step: Option<StepMetrics>,
    /// Training loss at the end of the smoothed curve of the report, because the loss of one step is noisy. Nats per token.
    pub train_loss: Option<f64>,
    /// Last evaluation.
    pub last_validation: Option<ValidationMetrics>,
    /// Last generated samples.
    pub last_samples: Option<Samples>,
    /// Why the last stage ended before its last step.
    pub early_end: Option<String>,
    /// Last comparison with compressors.
    pub compression: Option<CompressionMetrics>,
    /// Command line and version of Kiln of each process that started the run.
    pub commands: Vec<String>,
}

impl MetricsSummary {
    /// Summarizes all rows of a run, in order.
    pub fn from_rows(rows: &[MetricsRow]) -> Self {
        let mut summary = Self::default();
        let mut losses = Vec::new();
        for row in rows {
            match row {
                MetricsRow::Step(row) => {
                    losses.push((row.step as f64, row.loss));
                    summary.last_step = Some(row.clone());
                }
                MetricsRow::Validation(row) => summary.last_validation = Some(row.clone()),
                MetricsRow::Samples(row) => summary.last_samples = Some(row.clone()),
                MetricsRow::Compression(row) => summary.compression = Some(row.clone()),
                MetricsRow::Event(event) if event.kind == EventKind::Finished => {
                    summary.early_end = Some(event.detail.clone()).filter(|detail| detail.starts_with("stopped early"));
                }
                MetricsRow::Event(row) if row.kind == EventKind::Started => summary.commands.push(row.detail.clone()),
                MetricsRow::Event(_) => {}
            }
        }
        summary.train_loss = smooth(&losses).last().map(|(_, loss)| *loss);
        summary
    }

    /// Number of optimizer steps.
    pub fn steps(&self) -> u64 {
        self.last_step.as_ref().map_or(0, |step| step.step)
    }

    /// Number of training tokens.
    pub fn tokens(&self) -> u64 {
        self.last_step.as_ref().map_or(0, |step| step.tokens)
    }

    /// Training time in seconds, evaluations included.
    pub fn seconds(&self) -> f64 {
        let step = self.last_step.as_ref().map_or(0.0, |step| step.seconds);
        self.last_validation.as_ref().map_or(step, |validation| validation.seconds.max(step))
    }

    /// Training tokens per second; `None` before the first step.
    pub fn tokens_per_second(&self) -> Option<f64> {
        (self.seconds() > 0.0).then(|| self.tokens() as f64 / self.seconds())
    }

    /// Validation loss in nats per unit of the objective, such as a token.
    pub fn validation_loss(&self) -> Option<f64> {
        self.last_validation.as_ref().map(|validation| validation.loss)
    }

    /// Entropy of the built-in stories in nats per token: the lowest possible validation loss.
    pub fn floor(&self) -> Option<f64> {
        self.last_validation.as_ref()?.reference_loss
    }

    /// Share of the sentences in samples that the grammar of the built-in stories accepts.
    pub fn acceptance_rate(&self) -> Option<f64> {
        self.last_samples.as_ref()?.accepted_fraction
    }

    /// Accuracy by kind of dependency in the built-in stories.
    pub fn accuracy_by_kind(&self) -> Option<&BTreeMap<String, CorrectCount>> {
        self.last_validation.as_ref()?.by_dependency.as_ref()
    }

    /// Metrics of the objective in the last evaluation, by name.
    pub fn metrics(&self) -> BTreeMap<String, MetricValue> {
        self.last_validation.as_ref().map(|row| row.metrics.clone()).unwrap_or_default()
    }

    /// The JSON result of `kiln train`.
    pub fn to_json(&self, run: &str) -> Value {
        let mut result = json!({
            "run": run,
            "steps": self.steps(),
            "tokens": self.tokens(),
            "train_loss": self.train_loss,
            "validation_loss": self.validation_loss(),
            "floor": self.floor(),
            "accepted": self.acceptance_rate(),
            "seconds": self.seconds(),
            "tokens_per_second": self.tokens_per_second(),
        });
        let metrics = self.metrics();
        if !metrics.is_empty() {
            result["metrics"] = json!(metrics);
        }
        result
    }
}
