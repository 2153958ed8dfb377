//! Rows of metrics as updates of burn-train's renderer.

use crate::page::{BetterValues, MetricDescription, number_format::metric_title};
use burn_train::{
    metric::{
        MetricAttributes, MetricDefinition, MetricEntry, MetricId, NumericAttributes, NumericEntry, SerializedEntry,
    },
    renderer::{MetricState, MetricsRenderer},
};
use kiln_train::metrics::{MetricsRow, scalars::ScalarReader};
use std::{collections::BTreeSet, sync::Arc};

/// Curve of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Split {
    /// Of the training steps.
    Train,
    /// Of the evaluations.
    Valid,
}

impl Split {
    /// Sends a value to this curve.
    pub fn send(self, renderer: &mut dyn MetricsRenderer, state: MetricState) {
        match self {
            Self::Train => renderer.update_train(state),
            Self::Valid => renderer.update_valid(state),
        }
    }
}

/// A value for the renderer.
#[derive(Debug)]
pub struct MetricUpdate {
    /// Definition of the metric, at its first value.
    pub definition: Option<MetricDefinition>,
    pub split: Split,
    pub state: MetricState,
}

/// Reader of rows. The rows of a run must be read in order.
pub struct MetricFeed {
    reader: ScalarReader,
    descriptions: Vec<MetricDescription>,
    /// Names of the metrics that have been defined.
    defined: BTreeSet<String>,
}

impl MetricFeed {
    /// A reader for a run whose objectives have the metrics `descriptions`.
    pub fn new(descriptions: Vec<MetricDescription>) -> Self {
        Self { reader: ScalarReader::default(), descriptions, defined: BTreeSet::new() }
    }

    /// The values of a row: those of training, of evaluations, and of samples. Auxiliary losses and accuracies by kind of
    /// dependency are left out, which would fill the screen.
    pub fn read(&mut self, row: &MetricsRow) -> Vec<MetricUpdate> {
        let scalars = self.reader.read(row).map(|scalars| scalars.values).unwrap_or_default();
        scalars.into_iter().filter_map(|(name, value)| self.update(&name, value)).collect()
    }

    fn update(&mut self, name: &str, value: f64) -> Option<MetricUpdate> {
        let (prefix, metric) = name.split_once('/').filter(|(_, metric)| !metric.contains('/'))?;
        let (split, title) = match prefix {
            "train" => (Split::Train, metric_title(metric)),
            "eval" => (Split::Valid, metric_title(metric)),
            "samples" => (Split::Valid, format!("Samples {metric}")),
            _ => return None,
        };
        let id = MetricId::new(Arc::new(title.clone()));
        let definition = self.defined.insert(title.clone()).then(|| self.define(&id, metric, &title));
        let text = SerializedEntry::new(format_value(value), value.to_string());
        // A value that is not finite advances the axis without a point.
        let point = value.is_finite().then_some(NumericEntry::Value(value));
        Some(MetricUpdate { definition, split, state: MetricState::Numeric(MetricEntry::new(id, text), point) })
    }

    /// Definition of a metric. A metric that the objective does not describe is better if it is lower, as a loss is, except
    /// the accuracy and the speed.
    fn define(&self, id: &MetricId, metric: &str, title: &str) -> MetricDefinition {
        let known = self.descriptions.iter().find(|description| description.name == metric);
        let higher_is_better = match known {
            Some(known) => known.better == BetterValues::Higher,
            None => matches!(metric, "accuracy" | "tokens_per_second" | "accepted"),
        };
        let unit = known.map(|known| known.unit.clone()).filter(|unit| !unit.is_empty());
        MetricDefinition {
            metric_id: id.clone(),
            name: Arc::new(title.to_owned()),
            description: known.map(|known| known.description.clone()),
            attributes: MetricAttributes::Numeric(NumericAttributes { unit, higher_is_better }),
        }
    }
}

/// Four decimals; large numbers without decimals, small ones such as a learning rate with an exponent.
fn format_value(value: f64) -> String {
    match value.abs() {
        size if size >= 1000.0 => format!("{value:.0}"),
        size if size < 0.01 && size > 0.0 => format!("{value:.2e}"),
        _ => format!("{value:.4}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kiln_train::metrics::{StepMetrics, ValidationMetrics};

    #[test]
    fn values_have_the_digits_that_matter() {
        let texts = [66457.3, 1.66071, 0.0, 3e-4, -0.25, f64::NAN].map(format_value);
        assert_eq!(texts, ["66457", "1.6607", "0.0000", "3.00e-4", "-0.2500", "NaN"]);
    }

    #[test]
    fn training_and_validation_are_two_curves_of_one_metric() {
        let described =
            MetricDescription { name: "margin".into(), unit: "nats".into(), ..MetricDescription::default() };
        let mut feed = MetricFeed::new(vec![MetricDescription { better: BetterValues::Higher, ..described }]);
        let metrics = [("margin".to_string(), Some(0.5))].into();
        let auxiliary_losses = [("balance".to_string(), Some(0.5))].into();
        let step =
            StepMetrics { step: 1, loss: f64::NAN, seconds: 1.0, metrics, auxiliary_losses, ..StepMetrics::default() };
        let updates = feed.read(&MetricsRow::Step(step));
        let names: Vec<String> =
            updates.iter().map(|update| update.definition.as_ref().unwrap().name.to_string()).collect();
        assert_eq!(names, ["Loss", "Learning rate", "Gradient norm", "Tokens per second", "Margin"]);
        assert!(updates.iter().all(|update| update.split == Split::Train));
        assert!(matches!(updates[0].state, MetricState::Numeric(_, None)));
        let Some(MetricAttributes::Numeric(margin)) = updates[4].definition.as_ref().map(|d| d.attributes.clone())
        else {
            panic!("the margin is a number")
        };
        assert_eq!((margin.unit.as_deref(), margin.higher_is_better), (Some("nats"), true));

        let updates =
            feed.read(&MetricsRow::Validation(ValidationMetrics { loss: 2.0, ..ValidationMetrics::default() }));
        let [MetricUpdate { definition: None, split: Split::Valid, state: MetricState::Numeric(entry, Some(point)) }] =
            &updates[..]
        else {
            panic!("{updates:?}")
        };
        assert_eq!((entry.serialized_entry.formatted.as_str(), point.current()), ("2.0000", 2.0));
    }
}
