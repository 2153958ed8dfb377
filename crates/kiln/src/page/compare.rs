//! The view of the comparison page.
//!
//! The page has five parts: a sentence that names the best run, the recipe keys that differ, a table of final results, the
//! loss curves over steps, tokens and time, and, if known, charts of cost and of length extrapolation. A run without a
//! finite validation loss is listed last and has no rank. The color of a run is its position on the command line.

use std::collections::BTreeSet;

use serde::Serialize;

use super::chart::{Axis, Chart, ChartView, LineStyle, Series};
use super::curves::{self, FLOOR_LABEL, horizontal_line, zoomed_range};
use super::data::{ComparedRun, Comparison};
use super::downsample::smooth;
use super::labels::Dot;
use super::metrics_rows::{StepRow, ValidationRow};
use super::number_format::{Unit, format_count, format_duration};

/// Largest and smallest diameter of a point in the cost chart, in pixels.
const DOT_DIAMETER: (f64, f64) = (26.0, 8.0);

/// Fields of `templates/compare.html`.
#[derive(Serialize)]
pub struct View {
    summary: String,
    names: Vec<String>,
    /// Recipe key and its value in each run, for the keys that differ.
    config_diff: Vec<(String, Vec<Option<String>>)>,
    /// Name of the x axis and loss chart over it.
    curves: Vec<(&'static str, ChartView)>,
    cost_chart: Option<ChartView>,
    length_chart: Option<ChartView>,
    final_metrics: Vec<FinalMetrics>,
    /// Whether the loss charts show the lowest possible loss; a note then explains the dashed line.
    has_floor: bool,
}

/// A row of the table of final results.
#[derive(Serialize)]
struct FinalMetrics {
    name: String,
    color: usize,
    loss: String,
    /// Nats per token above the best run; empty for the best.
    loss_gap: String,
    time: String,
    parameters: String,
    tokens: String,
    is_best: bool,
}

/// A run with a finite validation loss.
#[derive(Clone, Copy)]
struct RankedRun<'a> {
    /// Position in the comparison, which is its color.
    index: usize,
    run: &'a ComparedRun,
    loss: f64,
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
    let axes = [("by step", XAxis::Steps), ("by tokens", XAxis::Tokens), ("by time", XAxis::Time)];
    View {
        summary: summary(runs),
        names: runs.iter().map(|run| run.name.clone()).collect(),
        config_diff: config_diff.collect(),
        curves: axes.into_iter().filter_map(|(name, x_axis)| Some((name, loss_chart(runs, x_axis)?))).collect(),
        cost_chart: cost_chart(runs),
        length_chart: length_chart(runs),
        final_metrics: final_metrics(runs),
        has_floor: shared_floor(runs).is_some(),
    }
}

/// Validation loss at the end of a run; `None` if it is missing, infinite or not a number.
fn finite_loss(run: &ComparedRun) -> Option<f64> {
    run.validation_loss.filter(|loss| loss.is_finite())
}

/// The runs that have a loss, lowest loss first.
fn rank_by_loss(runs: &[ComparedRun]) -> Vec<RankedRun<'_>> {
    let with_loss = runs.iter().enumerate();
    let mut ranked: Vec<RankedRun> =
        with_loss.filter_map(|(index, run)| Some(RankedRun { index, run, loss: finite_loss(run)? })).collect();
    ranked.sort_by(|a, b| a.loss.total_cmp(&b.loss));
    ranked
}

/// Names the best run and, if it is another one, the fastest.
///
/// The fastest run is named only if it is faster than the best one, with the difference of the losses in nats per
/// token.
fn summary(runs: &[ComparedRun]) -> String {
    let ranked = rank_by_loss(runs);
    let Some(best) = ranked.first() else {
        return "No run has been evaluated yet.".into();
    };
    let best_time = format_duration(best.run.seconds);
    let lead =
        format!("{} has the lowest validation loss, {:.3} nats per token, after {best_time}", best.run.name, best.loss);
    let fastest = ranked.iter().min_by(|a, b| a.run.seconds.total_cmp(&b.run.seconds));
    match fastest.filter(|other| other.run.seconds < best.run.seconds) {
        Some(fastest) => {
            let time = format_duration(fastest.run.seconds);
            let gap = fastest.loss - best.loss;
            format!("{lead}; {} is the fastest, {time}, and ends {gap:.3} above it.", fastest.run.name)
        }
        None => format!("{lead}."),
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
            Self::Time => ("time", Unit::Seconds),
        };
        Axis { label: label.into(), unit, ..Axis::default() }
    }
}

/// Loss of all runs in nats per token over steps, tokens or time, 380 pixels high.
///
/// A run has two lines of its color: the validation loss (solid, named) and the smoothed training loss behind it (faint).
/// If all runs have the same floor, it is a dashed line. The y axis is that of the close-up ([`zoomed_range`]): it ends at
/// the highest loss after the first tenth of the longest run.
fn loss_chart(runs: &[ComparedRun], x_axis: XAxis) -> Option<ChartView> {
    let training = runs.iter().enumerate().map(|(color, run)| {
        let points = curves::steps(&run.rows)
            .filter_map(|row| Some((x_axis.step_x(row)?, row.loss.unwrap_or(f64::NAN))))
            .collect::<Vec<_>>();
        Series { color, style: LineStyle::Faint, points: smooth(&points), ..Series::default() }
    });
    let validation = runs.iter().enumerate().map(|(color, run)| {
        let points = curves::validations(&run.rows)
            .filter_map(|row| Some((x_axis.validation_x(row)?, row.loss.unwrap_or(f64::NAN))))
            .collect();
        Series { name: run.name.clone(), color, points, ..Series::default() }
    });
    let mut series: Vec<Series> = training.chain(validation).collect();
    series.extend(shared_floor(runs).and_then(|floor| horizontal_line(FLOOR_LABEL, floor, &series)));
    let range = zoomed_range(&series);
    let y = Axis { label: "nats per token".into(), unit: Unit::Loss, range, ..Axis::default() };
    Chart { title: "Loss".into(), height: 380.0, x: x_axis.axis(), y, series, ..Chart::default() }.draw()
}

/// The floor, if all runs have the same to a thousandth of a nat.
fn shared_floor(runs: &[ComparedRun]) -> Option<f64> {
    let first = runs.first()?.floor.filter(|floor| floor.is_finite())?;
    runs.iter().all(|run| run.floor.is_some_and(|floor| (floor - first).abs() < 1e-3)).then_some(first)
}

/// Scatter plot of validation loss (y, nats per token) over training time (x), one point per run, 320 pixels high.
///
/// The diameter is 26 · √(parameters / most parameters) pixels and at least 8, so that the area is proportional to the
/// number of parameters. The label is the name of the run, the tooltip adds loss, time and parameters. `None` if no run
/// has a loss.
fn cost_chart(runs: &[ComparedRun]) -> Option<ChartView> {
    let max_parameters = runs.iter().map(|run| run.parameters).max()?.max(1) as f64;
    let (largest, smallest) = DOT_DIAMETER;
    let dots = rank_by_loss(runs).into_iter().map(|RankedRun { index, run, loss }| {
        let time = format_duration(run.seconds);
        let parameters = format_count(run.parameters as f64);
        Dot {
            x: run.seconds,
            y: loss,
            width: (largest * (run.parameters as f64 / max_parameters).sqrt()).round().max(smallest),
            name: run.name.clone(),
            title: format!("{}: {loss:.3} nats per token, {time}, {parameters} parameters", run.name),
            color: index,
        }
    });
    let chart = Chart {
        title: "Cost and quality".into(),
        note: "lower left is better; the area of a point shows the number of parameters".into(),
        height: 320.0,
        x: Axis { label: "time".into(), unit: Unit::Seconds, ..Axis::default() },
        y: Axis { label: "validation loss, nats per token".into(), unit: Unit::Plain, ..Axis::default() },
        dots: dots.collect(),
        ..Chart::default()
    };
    chart.draw()
}

/// Validation loss over the sequence length of the evaluation (length extrapolation).
///
/// Runs that were not evaluated at several lengths are left out; `None` if that leaves no run. A curve that stays
/// flat beyond the training length shows that the position encoding extrapolates.
fn length_chart(runs: &[ComparedRun]) -> Option<ChartView> {
    let evaluated = runs.iter().enumerate().filter(|(_, run)| !run.loss_by_length.is_empty());
    let series = evaluated.map(|(color, run)| {
        let points = run.loss_by_length.iter().map(|(length, loss)| (*length as f64, *loss)).collect();
        Series { name: run.name.clone(), color, points, ..Series::default() }
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

/// One row per run: those with a loss first, best first.
fn final_metrics(runs: &[ComparedRun]) -> Vec<FinalMetrics> {
    let ranked = rank_by_loss(runs);
    let lowest = ranked.first().map(|best| best.loss);
    let unranked = runs.iter().enumerate().filter(|(_, run)| finite_loss(run).is_none());
    let unranked = unranked.map(|(index, run)| RankedRun { index, run, loss: f64::NAN });
    ranked.iter().copied().chain(unranked).map(|entry| final_row(entry, lowest)).collect()
}

/// One row of the table; `lowest` is the loss of the best run.
fn final_row(RankedRun { index, run, loss }: RankedRun, lowest: Option<f64>) -> FinalMetrics {
    let gap = lowest.map(|best| loss - best).filter(|gap| *gap > 0.0);
    FinalMetrics {
        name: run.name.clone(),
        color: index,
        loss: if loss.is_finite() { format!("{loss:.3}") } else { "–".into() },
        loss_gap: gap.map(|gap| format!("+{gap:.3}")).unwrap_or_default(),
        time: format_duration(run.seconds),
        parameters: format_count(run.parameters as f64),
        tokens: format_count(run.tokens as f64),
        is_best: Some(loss) == lowest,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(name: &str, validation_loss: Option<f64>, seconds: f64) -> ComparedRun {
        ComparedRun { name: name.into(), validation_loss, seconds, ..ComparedRun::default() }
    }

    #[test]
    fn the_summary_names_the_best_and_the_fastest() {
        let runs = [run("a", Some(1.70), 60.0), run("b", Some(1.65), 90.0), run("c", None, 5.0)];
        let both = "b has the lowest validation loss, 1.650 nats per token, after 1 min 30 s; a is the fastest, 1 min, and ends 0.050 above it.";
        assert_eq!(summary(&runs), both);
        assert_eq!(summary(&runs[1..]), "b has the lowest validation loss, 1.650 nats per token, after 1 min 30 s.");
        assert_eq!(summary(&[run("c", Some(f64::NAN), 1.0)]), "No run has been evaluated yet.");
    }

    #[test]
    fn runs_without_a_loss_come_last() {
        let runs = [run("c", None, 5.0), run("a", Some(1.70), 60.0), run("b", Some(1.65), 90.0)];
        let rows: Vec<_> = final_metrics(&runs).into_iter().map(|f| (f.name, f.loss, f.loss_gap, f.is_best)).collect();
        let expected = [("b", "1.650", "", true), ("a", "1.700", "+0.050", false), ("c", "–", "", false)];
        assert_eq!(rows, expected.map(|(name, loss, gap, best)| (name.into(), loss.into(), gap.into(), best)));
    }
}
