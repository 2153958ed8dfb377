//! Unit of the loss and metrics of the objective of a stage, as the pages show them.

use crate::page::{BetterValues, MetricDescription, MetricResult};
use kiln_train::{
    Recipe, StageConfig,
    objective::{Better, LossUnit, MetricInfo, MetricValue},
};
use std::collections::BTreeMap;

/// What the loss of a stage is averaged over, such as `pair`; empty for tokens, and for an objective that is implemented
/// in a program, whose unit is unknown here.
pub fn loss_unit(stage: &StageConfig) -> &'static str {
    match stage.objective.build().unit() {
        LossUnit::Token => "",
        _ if stage.external_objective.is_some() => "",
        unit => unit.name(),
    }
}

/// The metrics of the objectives of all stages, each once.
pub fn metric_descriptions(recipe: &Recipe) -> Vec<MetricDescription> {
    let stages = recipe.stages.iter().filter(|stage| stage.external_objective.is_none());
    let mut metrics: Vec<MetricDescription> = Vec::new();
    for info in stages.flat_map(|stage| stage.objective.build().metrics()) {
        if metrics.iter().all(|metric| metric.name != info.name) {
            metrics.push(describe(info));
        }
    }
    metrics
}

/// The description of a metric of an objective.
pub fn describe(info: &MetricInfo) -> MetricDescription {
    MetricDescription {
        name: info.name.into(),
        unit: info.unit.into(),
        better: better_values(info.better),
        description: info.description.into(),
    }
}

/// Values by name, in the order in which `metrics` describes them; others follow.
pub fn in_order<'a, V>(values: &'a BTreeMap<String, V>, metrics: &[MetricDescription]) -> Vec<(&'a String, &'a V)> {
    let position = |name: &str| metrics.iter().position(|metric| metric.name == name).unwrap_or(usize::MAX);
    let mut ordered: Vec<_> = values.iter().collect();
    ordered.sort_by_key(|(name, _)| position(name));
    ordered
}

/// The value of a metric as a page shows it.
pub fn metric_result(metric: &MetricValue) -> MetricResult {
    MetricResult { value: Some(metric.value), unit: metric.unit.clone(), better: better_values(metric.better) }
}

fn better_values(better: Better) -> BetterValues {
    match better {
        Better::Lower => BetterValues::Lower,
        Better::Higher => BetterValues::Higher,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn described_metrics_come_first_in_their_order() {
        let values = ["accuracy", "extra", "margin"].map(|name| (name.to_string(), 0.0)).into();
        let described = ["margin", "absent", "accuracy"]
            .map(|name| MetricDescription { name: name.into(), ..MetricDescription::default() });
        let names: Vec<_> = in_order(&values, &described).into_iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["margin", "accuracy", "extra"]);
    }
}
