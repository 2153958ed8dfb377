//! Loss and metrics of an evaluation by the objective's own `loss`.

use super::read_floats;
use crate::objective::{Loss, LossUnit, MetricValue, Models, Objective};
use kiln_data::Batch;
use kiln_nn::Context;
use std::collections::BTreeMap;

/// Sums over the units of all batches, in f64.
#[derive(Default)]
pub(super) struct ObjectiveSums {
    loss: f64,
    metrics: BTreeMap<&'static str, f64>,
    num_units: f64,
}

impl ObjectiveSums {
    /// Adds the loss and the metrics of a batch, computed without dropout. Does nothing for an objective that is a weighted
    /// sum over tokens without metrics: its loss follows from the predictions.
    pub async fn add_batch(&mut self, models: &Models, batch: &Batch, objective: &dyn Objective) {
        if objective.unit() == LossUnit::Token && objective.metrics().is_empty() {
            return;
        }
        let mut cx = Context::new(&batch.layout, &models.policy.device());
        let Loss { sum, metrics } = objective.loss(models, batch, &mut cx);
        self.num_units += objective.num_units(batch);
        self.loss += read_sum(sum).await;
        for (name, sum) in metrics {
            *self.metrics.entry(name).or_default() += read_sum(sum).await;
        }
    }

    /// Mean loss per unit; `None` if no batch was added or none had units.
    pub fn mean_loss(&self) -> Option<f64> {
        (self.num_units > 0.0).then(|| self.loss / self.num_units)
    }

    /// Means of the metrics that the objective lists; NaN for one that it did not compute.
    pub fn metrics(&self, objective: &dyn Objective) -> BTreeMap<String, MetricValue> {
        let values = objective.metrics().iter().map(|info| {
            let value = self.metrics.get(info.name).map_or(f64::NAN, |sum| sum / self.num_units);
            (info.name.to_owned(), MetricValue { value, unit: info.unit.into(), better: info.better })
        });
        values.collect()
    }
}

/// The sum in a tensor with one element; NaN if the device fails.
async fn read_sum(sum: burn::tensor::Tensor<1>) -> f64 {
    read_floats(sum).await.first().map_or(f64::NAN, |value| f64::from(*value))
}
