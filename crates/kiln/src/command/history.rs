//! What the metrics of a run come to.

use kiln_train::metrics::{Compression, Count, Row, Samples, Step, Validation};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The last word of each kind in a run's metrics.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// The last step.
    pub step: Option<Step>,
    /// Mean loss of the last twentieth of the steps: a step alone is noise.
    pub train_loss: Option<f64>,
    /// The last validation.
    pub validation: Option<Validation>,
    /// The last samples.
    pub samples: Option<Samples>,
    /// The last comparison with compressors.
    pub compression: Option<Compression>,
}

impl History {
    /// Of all rows of a run.
    pub fn of(rows: &[Row]) -> Self {
        let mut history = Self::default();
        let mut losses = Vec::new();
        for row in rows {
            match row {
                Row::Step(row) => {
                    losses.push(row.loss);
                    history.step = Some(row.clone());
                }
                Row::Validation(row) => history.validation = Some(row.clone()),
                Row::Samples(row) => history.samples = Some(row.clone()),
                Row::Compression(row) => history.compression = Some(row.clone()),
                Row::Event(_) => {}
            }
        }
        let last = &losses[losses.len() - losses.len().div_ceil(20)..];
        history.train_loss = (!last.is_empty()).then(|| last.iter().sum::<f64>() / last.len() as f64);
        history
    }

    /// Steps done.
    pub fn steps(&self) -> u64 {
        self.step.as_ref().map_or(0, |step| step.step)
    }

    /// Tokens trained on.
    pub fn tokens(&self) -> u64 {
        self.step.as_ref().map_or(0, |step| step.tokens)
    }

    /// Seconds that the run took.
    pub fn seconds(&self) -> f64 {
        let step = self.step.as_ref().map_or(0.0, |step| step.seconds);
        self.validation.as_ref().map_or(step, |validation| validation.seconds.max(step))
    }

    /// Tokens trained on in a second; none before the first step.
    pub fn tokens_per_second(&self) -> Option<f64> {
        (self.seconds() > 0.0).then(|| self.tokens() as f64 / self.seconds())
    }

    /// Loss on held-out text.
    pub fn validation_loss(&self) -> Option<f64> {
        self.validation.as_ref().map(|validation| validation.loss)
    }

    /// The built-in corpus' own loss.
    pub fn floor(&self) -> Option<f64> {
        self.validation.as_ref()?.floor
    }

    /// Share of sampled sentences that are accepted.
    pub fn accepted(&self) -> Option<f64> {
        self.samples.as_ref()?.accepted
    }

    /// Where the text decides.
    pub fn kinds(&self) -> Option<&BTreeMap<String, Count>> {
        self.validation.as_ref()?.kinds.as_ref()
    }

    /// What `train` answers.
    pub fn json(&self, run: &str) -> Value {
        json!({
            "run": run,
            "steps": self.steps(),
            "tokens": self.tokens(),
            "train_loss": self.train_loss,
            "validation_loss": self.validation_loss(),
            "floor": self.floor(),
            "accepted": self.accepted(),
            "seconds": self.seconds(),
            "tokens_per_second": self.tokens_per_second(),
        })
    }
}
