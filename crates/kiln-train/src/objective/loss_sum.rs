//! The loss of a batch with its unit and its metrics.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

/// Loss of a batch, and the objective's metrics: sums over the units of the batch.
#[derive(Clone, Debug)]
pub struct Loss {
    /// Sum of the loss over all units, `[1]`, in nats.
    pub sum: Tensor<1>,
    /// Sums over all units of the metrics that [`Objective::metrics`](super::Objective::metrics) lists, `[1]` each, by name.
    /// They need no gradients.
    pub metrics: Vec<(&'static str, Tensor<1>)>,
}

impl From<Tensor<1>> for Loss {
    fn from(sum: Tensor<1>) -> Self {
        Self { sum, metrics: Vec::new() }
    }
}

/// What the loss of an objective is averaged over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LossUnit {
    /// Predicted tokens, by their weights.
    Token,
    /// Pairs of sequences, such as a chosen and a rejected answer.
    Pair,
    /// Groups of sequences.
    Group,
    /// Pairs or groups that are compared with all others of the batch: the loss of a part of the batch is another function,
    /// so that a batch cannot be processed in parts (`gradient_accumulation`).
    Batch,
}

impl LossUnit {
    /// Name for messages, in the singular.
    pub fn name(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Pair | Self::Batch => "pair",
            Self::Group => "group",
        }
    }
}

/// Which values of a metric are better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Better {
    /// Smaller values, as of a loss.
    Lower,
    /// Greater values, as of an accuracy.
    Higher,
}

/// A metric of an objective: a mean over its units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MetricInfo {
    /// Name, such as `accuracy`.
    pub name: &'static str,
    /// Unit, such as `nats`; empty for a fraction.
    pub unit: &'static str,
    /// Which values are better.
    pub better: Better,
    /// What it measures, as a sentence without a full stop.
    pub description: &'static str,
}

/// Value of a metric in an evaluation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MetricValue {
    /// The mean over all units. NaN is written as `null`.
    #[serde(deserialize_with = "crate::metrics::null_is_nan")]
    pub value: f64,
    /// Unit, such as `nats`; empty for a fraction.
    pub unit: String,
    /// Which values are better.
    pub better: Better,
}
