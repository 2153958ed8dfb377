//! The view of the comparison page.
//!
//! The page has six parts: a sentence that names the best run, the recipe keys that differ, a table of final results, the
//! metrics of the objectives, the loss curves over steps, tokens and time, and, if known, charts of cost and of length
//! extrapolation. A run without a
//! finite validation loss is listed last and has no rank. Runs that differ in the seed only have one color.

use std::collections::BTreeSet;

use serde::Serialize;

use super::chart::{Axis, Chart, ChartView, LineStyle, Series};
use super::compare_metrics::{MetricTable, metric_charts, metric_table};
use super::compare_results::{FinalMetrics, final_metrics, finite_loss, loss_units_label, summary};
use super::curves::{self, FLOOR_LABEL, horizontal_line, zoomed_range};
use super::data::{ComparedRun, Comparison};
use super::downsample::smooth;
use super::labels::Dot;
use super::metrics_rows::{StepRow, ValidationRow};
use super::number_format::{Unit, format_count, format_duration, loss_label};
use super::seed_groups::seed_groups;

/// Largest and smallest diameter of a point in the cost chart, in pixels.
const DOT_DIAMETER: (f64, f64) = (26.0, 8.0);

/// Fields of `templates/compare.html`.
#[derive(Serialize)]
pub struct View {
    summary: String,
    /// Name and color of each run.
    names: Vec<(String, usize)>,
    /// Recipe key and its value in each run, for the keys that differ.
    config_diff: Vec<(String, Vec<Option<String>>)>,
    /// Name of the x axis and loss chart over it.
    curves: Vec<(&'static str, ChartView)>,
    cost_chart: Option<ChartView>,
    length_chart: Option<ChartView>,
    final_metrics: Vec<FinalMetrics>,
    /// Unit of the losses, such as `nats per token`; several with commas if the losses are not comparable.
    loss_unit: String,
    /// Metrics of the objectives.
    metric_table: MetricTable,
    metric_charts: Vec<ChartView>,
    /// Whether the loss charts show the lowest possible loss; a note then explains the dashed line.
    has_floor: bool,
}

/// Quantity on the x axis of a loss chart.
///
/// Runs with different batch sizes compare fairly over tokens, runs with different architectures over time.
#[derive(Clone, Copy)]
enum XAxis {
    /// Optimizer steps.
    Steps,
    /// Training tokens.
    Tokens,
    /// Seconds since the start of the stage.
    Time,
}

/// Builds the view.
pub fn view(compare: &Comparison) -> View {
    let runs = &compare.runs;
    let keys: BTreeSet<&String> = runs.iter().flat_map(|run| run.config_diff.keys()).collect();
    let config_diff = keys.into_iter().map(|key| {
        let values = runs.iter().map(|run| run.config_diff.get(key).cloned()).collect();
        (key.clone(), values)
    });
    let groups = seed_groups(runs);
    let mut colors = vec![0; runs.len()];
    groups.iter().enumerate().for_each(|(color, group)| group.members.iter().for_each(|run| colors[*run] = color));
    let axes = [("by step", XAxis::Steps), ("by tokens", XAxis::Tokens), ("by wall time", XAxis::Time)];
    View {
        summary: summary(runs, &groups),
        names: runs.iter().zip(&colors).map(|(run, color)| (run.name.clone(), *color)).collect(),
        config_diff: config_diff.collect(),
        curves: axes
            .into_iter()
            .filter_map(|(name, x_axis)| Some((name, loss_chart(runs, &colors, x_axis)?)))
            .collect(),
        cost_chart: cost_chart(runs, &colors),
        length_chart: length_chart(runs, &colors),
        final_metrics: final_metrics(runs, &groups),
        loss_unit: loss_units_label(runs),
        metric_table: metric_table(runs, &groups),
        metric_charts: metric_charts(runs, &colors),
        has_floor: shared_floor(runs).is_some(),
    }
}

impl XAxis {
    /// X value of a training step; `None` if it was not recorded.
    fn step_x(self, row: &StepRow) -> Option<f64> {
        self.select(row.step, row.tokens, row.seconds)
    }

    /// X value of an evaluation; `None` if it was not recorded.
    fn validation_x(self, row: &ValidationRow) -> Option<f64> {
        self.select(row.step, row.tokens, row.seconds)
    }

    /// The value that belongs to this axis. Non-finite times are left out.
    fn select(self, step: u64, tokens: u64, seconds: Option<f64>) -> Option<f64> {
        match self {
            Self::Steps => Some(step as f64),
            Self::Tokens => Some(tokens as f64),
            Self::Time => seconds.filter(|time| time.is_finite()),
        }
    }

    /// Label and unit of the axis.
    fn axis(self) -> Axis {
        let (label, unit) = match self {
            Self::Steps => ("step", Unit::Count),
            Self::Tokens => ("tokens", Unit::Count),
            Self::Time => ("wall time", Unit::Seconds),
        };
        Axis { label: label.into(), unit, ..Axis::default() }
    }
}

/// Loss of all runs over steps, tokens or time, 380 pixels high.
///
/// A run has two lines of its color: the validation loss (solid, named) and the smoothed training loss behind it (faint).
/// If all runs have the same floor, it is a dashed line. The y axis is that of the close-up ([`zoomed_range`]): it ends at
/// the highest loss after the first tenth of the longest run.
fn loss_chart(runs: &[ComparedRun], colors: &[usize], x_axis: XAxis) -> Option<ChartView> {
    let training = runs.iter().zip(colors).map(|(run, color)| {
        let points = curves::steps(&run.rows)
            .filter_map(|row| Some((x_axis.step_x(row)?, row.loss.unwrap_or(f64::NAN))))
            .collect::<Vec<_>>();
        Series { color: *color, style: LineStyle::Faint, points: smooth(&points), ..Series::default() }
    });
    let validation = runs.iter().zip(colors).map(|(run, color)| {
        let points = curves::validations(&run.rows)
            .filter_map(|row| Some((x_axis.validation_x(row)?, row.loss.unwrap_or(f64::NAN))))
            .collect();
        Series { name: run.name.clone(), color: *color, points, ..Series::default() }
    });
    let mut series: Vec<Series> = training.chain(validation).collect();
    series.extend(shared_floor(runs).and_then(|floor| horizontal_line(FLOOR_LABEL, floor, &series)));
    let range = zoomed_range(&series);
    let y = Axis { label: loss_units_label(runs), unit: Unit::Loss, range, ..Axis::default() };
    Chart { title: "Loss".into(), height: 380.0, x: x_axis.axis(), y, series, ..Chart::default() }.draw()
}

/// The floor, if all runs have the same to a thousandth of a nat.
fn shared_floor(runs: &[ComparedRun]) -> Option<f64> {
    let first = runs.first()?.floor.filter(|floor| floor.is_finite())?;
    runs.iter().all(|run| run.floor.is_some_and(|floor| (floor - first).abs() < 1e-3)).then_some(first)
}

/// Scatter plot of validation loss (y) over the wall time of training (x), one point per run, 320 pixels high.
///
/// The diameter is 26 · √(parameters / most parameters) pixels and at least 8, so that the area is proportional to the
/// number of parameters. The label is the name of the run, the tooltip adds loss, time and parameters. `None` if no run
/// has a loss.
fn cost_chart(runs: &[ComparedRun], colors: &[usize]) -> Option<ChartView> {
    let max_parameters = runs.iter().map(|run| run.parameters).max()?.max(1) as f64;
    let (largest, smallest) = DOT_DIAMETER;
    let evaluated = runs.iter().zip(colors).filter_map(|(run, color)| Some((run, *color, finite_loss(run)?)));
    let dots = evaluated.map(|(run, color, loss)| {
        let time = format_duration(run.seconds);
        let parameters = format_count(run.parameters as f64);
        Dot {
            x: run.seconds,
            y: loss,
            width: (largest * (run.parameters as f64 / max_parameters).sqrt()).round().max(smallest),
            name: run.name.clone(),
            title: format!("{}: {loss:.3} {}, {time}, {parameters} parameters", run.name, loss_label(&run.loss_unit)),
            color,
        }
    });
    let chart = Chart {
        title: "Cost and quality".into(),
        note: "lower left is better; the area of a point shows the number of parameters".into(),
        height: 320.0,
        x: Axis { label: "wall time".into(), unit: Unit::Seconds, ..Axis::default() },
        y: Axis { label: format!("validation loss, {}", loss_units_label(runs)), unit: Unit::Plain, ..Axis::default() },
        dots: dots.collect(),
        ..Chart::default()
    };
    chart.draw()
}

/// Validation loss over the sequence length of the evaluation (length extrapolation).
///
/// Runs that were not evaluated at several lengths are left out; `None` if that leaves no run. A curve that stays
/// flat beyond the training length shows that the position encoding extrapolates.
fn length_chart(runs: &[ComparedRun], colors: &[usize]) -> Option<ChartView> {
    let evaluated = runs.iter().zip(colors).filter(|(run, _)| !run.loss_by_length.is_empty());
    let series = evaluated.map(|(run, color)| {
        let points = run.loss_by_length.iter().map(|(length, loss)| (*length as f64, *loss)).collect();
        Series { name: run.name.clone(), color: *color, points, ..Series::default() }
    });
    let chart = Chart {
        title: "Loss by sequence length".into(),
        note: "validation loss of sequences that may be longer than in training".into(),
        height: 340.0,
        x: Axis { label: "tokens".into(), unit: Unit::Count, ..Axis::default() },
        y: Axis { label: "nats per token".into(), unit: Unit::Loss, ..Axis::default() },
        series: series.collect(),
        ..Chart::default()
    };
    chart.draw()
}
