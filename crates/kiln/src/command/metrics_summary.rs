//! What the metrics of a run come to.

use kiln_train::metrics::{CompressionMetrics, CorrectCount, MetricsRow, Samples, StepMetrics, ValidationMetrics};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The last word of each kind in a run's metrics.
#[derive(Clone, Debug, Default)]
pub struct MetricsSummary {
    /// The last step.
    pub last_step: Option<StepMetrics>,
    /// Mean loss of the last twentieth of the steps: a step alone is noise.
    pub train_loss: Option<f64>,
    /// The last validation.
    pub last_validation: Option<ValidationMetrics>,
    /// The last samples.
    pub last_samples: Option<Samples>,
    /// The last comparison with compressors.
    pub compression: Option<CompressionMetrics>,
}

impl MetricsSummary {
    /// Of all rows of a run.
    pub fn from_rows(rows: &[MetricsRow]) -> Self {
        let mut history = Self::default();
        let mut losses = Vec::new();
        for row in rows {
            match row {
                MetricsRow::Step(row) => {
                    losses.push(row.loss);
                    history.last_step = Some(row.clone());
                }
                MetricsRow::Validation(row) => history.last_validation = Some(row.clone()),
                MetricsRow::Samples(row) => history.last_samples = Some(row.clone()),
                MetricsRow::Compression(row) => history.compression = Some(row.clone()),
                MetricsRow::Event(_) => {}
            }
        }
        let last = &losses[losses.len() - losses.len().div_ceil(20)..];
        history.train_loss = (!last.is_empty()).then(|| last.iter().sum::<f64>() / last.len() as f64);
        history
    }

    /// Steps done.
    pub fn steps(&self) -> u64 {
        self.last_step.as_ref().map_or(0, |step| step.step)
    }

    /// Tokens trained on.
    pub fn tokens(&self) -> u64 {
        self.last_step.as_ref().map_or(0, |step| step.tokens)
    }

    /// Seconds that the run took.
    pub fn seconds(&self) -> f64 {
        let step = self.last_step.as_ref().map_or(0.0, |step| step.seconds);
        self.last_validation.as_ref().map_or(step, |validation| validation.seconds.max(step))
    }

    /// Tokens trained on in a second; none before the first step.
    pub fn tokens_per_second(&self) -> Option<f64> {
        (self.seconds() > 0.0).then(|| self.tokens() as f64 / self.seconds())
    }

    /// Loss on held-out text.
    pub fn validation_loss(&self) -> Option<f64> {
        self.last_validation.as_ref().map(|validation| validation.loss)
    }

    /// The built-in corpus' own loss.
    pub fn floor(&self) -> Option<f64> {
        self.last_validation.as_ref()?.reference_loss
    }

    /// Share of sampled sentences that are accepted.
    pub fn acceptance_rate(&self) -> Option<f64> {
        self.last_samples.as_ref()?.accepted_fraction
    }

    /// Where the text decides.
    pub fn accuracy_by_kind(&self) -> Option<&BTreeMap<String, CorrectCount>> {
        self.last_validation.as_ref()?.by_dependency.as_ref()
    }

    /// What `train` answers.
    pub fn to_json(&self, run: &str) -> Value {
        json!({
            "run": run,
            "steps": self.steps(),
            "tokens": self.tokens(),
            "train_loss": self.train_loss,
            "validation_loss": self.validation_loss(),
            "floor": self.floor(),
            "accepted": self.acceptance_rate(),
            "seconds": self.seconds(),
            "tokens_per_second": self.tokens_per_second(),
        })
    }
}
