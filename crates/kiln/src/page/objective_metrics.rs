//! Metrics of the objective in the report: the last value of each as a headline, and a chart over steps.

use super::chart::{Axis, Chart, ChartView, LineStyle, Series};
use super::curves::{step_axis, step_points, validation_points, validations};
use super::data::{MetricDescription, Report};
use super::downsample::smooth;
use super::metrics_rows::MetricResult;
use super::number_format::{Unit, metric_title};

/// The metrics of a report: those that its objective describes, then those of its evaluations that nothing describes, as
/// an objective of a program can have them.
pub fn described_metrics(report: &Report) -> Vec<MetricDescription> {
    let mut metrics = report.metrics.clone();
    for (name, result) in validations(&report.rows).flat_map(|row| &row.metrics) {
        if metrics.iter().all(|metric| metric.name != *name) {
            let MetricResult { unit, better, .. } = result.clone();
            metrics.push(MetricDescription { name: name.clone(), unit, better, description: String::new() });
        }
    }
    metrics
}

/// Value of a metric in the last evaluation that has it. `None` if that is not finite.
pub fn last_value(report: &Report, name: &str) -> Option<f64> {
    let values = validations(&report.rows).filter_map(|row| row.metrics.get(name)?.value);
    values.last().filter(|value| value.is_finite())
}

/// A chart for each metric that has a finite value: training (smoothed, and pale each step) and validation over steps,
/// 240 pixels high. A fraction has percentages on its axis, and all of them if they are between 0 and 1.
pub fn charts(report: &Report) -> Vec<ChartView> {
    described_metrics(report).iter().filter_map(|metric| metric_chart(report, metric)).collect()
}

fn metric_chart(report: &Report, metric: &MetricDescription) -> Option<ChartView> {
    let training = step_points(&report.rows, |row| row.metrics.get(&metric.name).copied().flatten());
    let validation = validation_points(&report.rows, |row| row.metrics.get(&metric.name)?.value);
    let line = |name: &str, color, style, points| Series { name: name.into(), color, style, points };
    let series = vec![
        line("", 0, LineStyle::Faint, training.clone()),
        line("training", 0, LineStyle::Line, smooth(&training)),
        line("validation", 1, LineStyle::Line, validation),
    ];
    let note = [metric.better.description(), &metric.description];
    let chart = Chart {
        title: metric_title(&metric.name),
        note: note.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("; "),
        height: 240.0,
        x: step_axis(),
        y: metric_axis(&metric.unit, &series),
        series,
        ..Chart::default()
    };
    chart.draw()
}

/// The y axis of a metric with this unit.
pub fn metric_axis(unit: &str, series: &[Series]) -> Axis {
    if !unit.is_empty() {
        return Axis { label: unit.into(), unit: Unit::Loss, ..Axis::default() };
    }
    let values = series.iter().flat_map(|line| &line.points).map(|point| point.1).filter(|value| value.is_finite());
    let is_share = values.clone().all(|value| (0.0..=1.0).contains(&value));
    Axis { unit: Unit::Percent, range: is_share.then_some((0.0, 1.0)), ..Axis::default() }
}
