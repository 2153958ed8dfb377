//! Metrics of the objectives in a comparison: a table of the last evaluations, and a chart of each over steps.

use super::chart::{Chart, ChartView, Series};
use super::curves::{step_axis, validation_points};
use super::data::ComparedRun;
use super::metrics_rows::{BetterValues, MetricResult};
use super::number_format::{format_metric, metric_title};
use super::objective_metrics::metric_axis;
use super::seed_groups::{MeanSpread, SeedGroup};
use serde::Serialize;
use std::collections::BTreeMap;

/// The metrics of all runs: a column for each metric, a row for each setting.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct MetricTable {
    pub columns: Vec<MetricColumn>,
    pub rows: Vec<MetricTableRow>,
}

/// A metric.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MetricColumn {
    /// Name, such as `Accuracy`.
    pub name: String,
    /// `higher is better` or `lower is better`.
    pub better: &'static str,
}

/// A run, or several runs that differ in the seed only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MetricTableRow {
    /// Names of the runs.
    pub name: String,
    /// Position among the groups, which is the color.
    pub color: usize,
    /// Number of seeds.
    pub seeds: usize,
    /// Value with its unit, and whether it is the best of several; a dash for a run without the metric.
    pub cells: Vec<(String, bool)>,
}

/// The metrics of the runs, by name, each with a result of one run for its unit and direction.
fn metrics(runs: &[ComparedRun]) -> BTreeMap<&String, &MetricResult> {
    runs.iter().rev().flat_map(|run| &run.metrics).collect()
}

/// The last values of all metrics; for several seeds their mean and standard deviation. Empty if no run has metrics.
pub fn metric_table(runs: &[ComparedRun], groups: &[SeedGroup]) -> MetricTable {
    let metrics = metrics(runs);
    if metrics.is_empty() {
        return MetricTable::default();
    }
    let columns = metrics
        .iter()
        .map(|(name, result)| MetricColumn { name: metric_title(name), better: result.better.description() });
    let values: Vec<Vec<Option<MeanSpread>>> =
        metrics.keys().map(|name| groups.iter().map(|group| group_value(runs, group, name)).collect()).collect();
    let best: Vec<Option<f64>> =
        metrics.values().zip(&values).map(|(result, column)| best_value(result.better, column)).collect();
    let rows = groups.iter().enumerate().map(|(color, group)| MetricTableRow {
        name: group.members.iter().map(|run| runs[*run].name.as_str()).collect::<Vec<_>>().join(", "),
        color,
        seeds: group.members.len(),
        cells: metrics
            .values()
            .zip(values.iter().zip(&best))
            .map(|(result, (column, best))| match column[color] {
                Some(value) => (format_spread(value, &result.unit), *best == Some(value.mean)),
                None => ("–".into(), false),
            })
            .collect(),
    });
    MetricTable { rows: rows.collect(), columns: columns.collect() }
}

/// Mean and spread of a metric over the runs of a group.
fn group_value(runs: &[ComparedRun], group: &SeedGroup, name: &str) -> Option<MeanSpread> {
    group.mean_spread(runs, |run| run.metrics.get(name)?.value)
}

/// The best mean; `None` unless there are two different ones.
fn best_value(better: BetterValues, column: &[Option<MeanSpread>]) -> Option<f64> {
    let means: Vec<f64> = column.iter().flatten().map(|value| value.mean).collect();
    let best = means.iter().copied().reduce(|best, value| if better.is_better(value, best) { value } else { best })?;
    means.iter().any(|value| *value != best).then_some(best)
}

/// `92.5 %`, `1.430 nats`, `92.5 % ± 1.2 %`.
fn format_spread(value: MeanSpread, unit: &str) -> String {
    let spread = value.standard_deviation.map(|deviation| format!(" ± {}", format_metric(deviation, unit)));
    format!("{}{}", format_metric(value.mean, unit), spread.unwrap_or_default())
}

/// A chart for each metric: its value in the evaluations of each run, over steps.
pub fn metric_charts(runs: &[ComparedRun], colors: &[usize]) -> Vec<ChartView> {
    metrics(runs).into_iter().filter_map(|(name, result)| metric_chart(runs, colors, name, result)).collect()
}

fn metric_chart(runs: &[ComparedRun], colors: &[usize], name: &str, result: &MetricResult) -> Option<ChartView> {
    let series = runs.iter().zip(colors).map(|(run, color)| Series {
        name: run.name.clone(),
        color: *color,
        points: validation_points(&run.rows, |row| row.metrics.get(name)?.value),
        ..Series::default()
    });
    let series: Vec<Series> = series.collect();
    let chart = Chart {
        title: metric_title(name),
        note: result.better.description().into(),
        height: 240.0,
        x: step_axis(),
        y: metric_axis(&result.unit, &series),
        series,
        ..Chart::default()
    };
    chart.draw()
}

#[cfg(test)]
mod tests {
    use super::super::seed_groups::seed_groups;
    use super::*;

    fn run(name: &str, setting: &str, metrics: &[(&str, f64, &str, BetterValues)]) -> ComparedRun {
        let result = |value: f64, unit: &str, better| MetricResult { value: Some(value), unit: unit.into(), better };
        let config_diff = [("beta", setting), ("seed", name)].map(|(key, value)| (key.to_string(), value.to_string()));
        ComparedRun {
            name: name.into(),
            config_diff: config_diff.into(),
            metrics: metrics
                .iter()
                .map(|(name, value, unit, b)| (name.to_string(), result(*value, unit, *b)))
                .collect(),
            ..ComparedRun::default()
        }
    }

    #[test]
    fn the_best_value_follows_the_direction_of_the_metric() {
        use BetterValues::{Higher, Lower};
        let runs = [
            run("a", "0.1", &[("accuracy", 0.9, "", Higher), ("kl_divergence", 2.0, "nats", Lower)]),
            run("b", "0.2", &[("accuracy", 0.8, "", Higher), ("kl_divergence", 1.0, "nats", Lower)]),
            run("c", "0.1", &[("accuracy", 0.95, "", Higher), ("kl_divergence", f64::NAN, "nats", Lower)]),
            run("d", "none", &[]),
        ];
        let table = metric_table(&runs, &seed_groups(&runs));
        let columns: Vec<_> = table.columns.iter().map(|column| (column.name.as_str(), column.better)).collect();
        assert_eq!(columns, [("Accuracy", "higher is better"), ("KL divergence", "lower is better")]);
        let rows: Vec<_> = table.rows.iter().map(|row| (row.name.as_str(), row.cells.clone())).collect();
        let cell = |text: &str, is_best| (text.to_string(), is_best);
        assert_eq!(
            rows,
            [
                ("a, c", vec![cell("92.5 % ± 3.5 %", true), cell("2.000 nats", false)]),
                ("b", vec![cell("80.0 %", false), cell("1.000 nats", true)]),
                ("d", vec![cell("–", false), cell("–", false)]),
            ]
        );
        assert_eq!(metric_table(&runs[3..], &seed_groups(&runs[3..])), MetricTable::default());
    }

    #[test]
    fn equal_values_have_no_best() {
        let runs = [("a", "1"), ("b", "2")]
            .map(|(name, setting)| run(name, setting, &[("accuracy", 0.5, "", BetterValues::Higher)]));
        let table = metric_table(&runs, &seed_groups(&runs));
        assert!(table.rows.iter().all(|row| row.cells == [("50.0 %".to_string(), false)]), "{table:?}");
    }
}
