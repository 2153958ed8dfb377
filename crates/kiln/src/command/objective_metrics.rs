//! Unit of the loss and metrics of the objective of a stage, as the pages show them.

use crate::page::{BetterValues, MetricDescription, MetricResult};
use kiln_train::{
    Recipe, StageConfig,
    objective::{Better, LossUnit, MetricInfo, MetricValue},
};

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

fn describe(info: &MetricInfo) -> MetricDescription {
    MetricDescription {
        name: info.name.into(),
        unit: info.unit.into(),
        better: better_values(info.better),
        description: info.description.into(),
    }
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
