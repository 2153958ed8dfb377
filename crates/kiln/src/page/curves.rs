//! The curves of a run: from the lines of its metrics to charts.

use std::collections::BTreeSet;

use super::chart::{Axis, Chart, ChartView, LineStyle, Series};
use super::downsample::smooth;
use super::metrics_rows::{EventRow, Row, SamplesRow, StepRow, ValidationRow};
use super::number_format::Unit;
use super::scale::Scale;

/// The steps of training among `rows`.
pub fn steps(rows: &[Row]) -> impl Iterator<Item = &StepRow> {
    rows.iter().filter_map(|row| if let Row::Step(step) = row { Some(step) } else { None })
}

/// The rounds of validation among `rows`.
pub fn validations(rows: &[Row]) -> impl Iterator<Item = &ValidationRow> {
    rows.iter().filter_map(|row| if let Row::Validation(round) = row { Some(round) } else { None })
}

/// The samples among `rows`.
pub fn samples(rows: &[Row]) -> impl Iterator<Item = &SamplesRow> {
    rows.iter().filter_map(|row| if let Row::Samples(samples) = row { Some(samples) } else { None })
}

/// The events among `rows`.
pub fn events(rows: &[Row]) -> impl Iterator<Item = &EventRow> {
    rows.iter().filter_map(|row| if let Row::Event(event) = row { Some(event) } else { None })
}

/// Points at every step of training; what is missing becomes a gap.
pub fn step_points(rows: &[Row], value: impl Fn(&StepRow) -> Option<f64>) -> Vec<(f64, f64)> {
    steps(rows).map(|step| (step.step as f64, value(step).unwrap_or(f64::NAN))).collect()
}

/// Points at every round of validation that has the value.
pub fn validation_points(rows: &[Row], value: impl Fn(&ValidationRow) -> Option<f64>) -> Vec<(f64, f64)> {
    validations(rows).filter_map(|round| Some((round.step as f64, value(round)?))).collect()
}

fn step_axis() -> Axis {
    Axis { label: "step".into(), unit: Unit::Count, ..Axis::default() }
}

fn line_series(name: &str, colour: usize, points: Vec<(f64, f64)>) -> Series {
    Series { name: name.into(), color: colour, points, ..Series::default() }
}

/// A dashed line across all of `series`.
pub fn horizontal_line(name: &str, value: f64, series: &[Series]) -> Option<Series> {
    let across = || series.iter().flat_map(|s| s.points.iter().map(|p| p.0));
    let ends = across().min_by(f64::total_cmp).zip(across().max_by(f64::total_cmp));
    ends.map(|(first, last)| Series {
        style: LineStyle::Dashed,
        ..line_series(name, 0, vec![(first, value), (last, value)])
    })
}

/// Loss of training at every step, smoothed.
pub(super) fn training_loss(rows: &[Row]) -> Vec<(f64, f64)> {
    smooth(&step_points(rows, |step| step.loss))
}

/// Loss of validation at every round.
pub(super) fn validation_loss(rows: &[Row]) -> Vec<(f64, f64)> {
    validation_points(rows, |round| round.loss)
}

/// How the loss is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LossView {
    /// From the first step to the last.
    Full,
    /// Only as high as the loss is after the first tenth of the steps.
    Zoomed,
    /// Logarithmic both ways.
    Log,
}

/// Loss of training and validation above the floor.
pub fn loss_chart(rows: &[Row], floor: Option<f64>, view: LossView) -> Option<ChartView> {
    let log = view == LossView::Log;
    let mut series = vec![
        Series { style: LineStyle::Faint, ..line_series("", 0, step_points(rows, |step| step.loss)) },
        line_series("training", 0, training_loss(rows)),
        line_series("validation", 1, validation_loss(rows)),
    ];
    series.extend(floor.and_then(|value| horizontal_line("floor", value, &series)));
    let ends = if view == LossView::Zoomed { zoomed_range(&series) } else { None };
    let moments = events(rows).filter(|e| e.event != "finished").map(|e| (e.step as f64, e.event.replace('_', " ")));
    Chart {
        title: "Loss".into(),
        height: 340.0,
        x: Axis { is_log: log, ..step_axis() },
        y: Axis { label: "nats a token".into(), unit: Unit::Loss, is_log: log, range: ends, ..Axis::default() },
        series,
        event_markers: moments.collect(),
        ..Chart::default()
    }
    .draw()
}

/// Ends of an axis: lowest of all values, and highest after the first tenth of the way.
pub fn zoomed_range(series: &[Series]) -> Option<(f64, f64)> {
    let named = || {
        series.iter().filter(|s| s.style != LineStyle::Faint).flat_map(|s| s.points.iter()).filter(|p| p.1.is_finite())
    };
    let last = named().map(|p| p.0).max_by(f64::total_cmp)?;
    let later = named().filter(|p| p.0 > 0.1 * last).map(|p| p.1);
    let around = Scale::from_values(later, false)?.round_ends(Unit::Loss, 5);
    Some((around.low, around.high))
}

fn share_chart(title: &str, series: Vec<Series>) -> Option<ChartView> {
    let y = Axis { unit: Unit::Percent, range: Some((0.0, 1.0)), ..Axis::default() };
    Chart { title: title.into(), height: 240.0, x: step_axis(), y, series, ..Chart::default() }.draw()
}

/// What the model gets right, by kind of question where the corpus asks them, else of all tokens.
pub fn accuracy_chart(rows: &[Row]) -> Option<ChartView> {
    let kinds: BTreeSet<&String> =
        validations(rows).filter_map(|round| round.accuracy_by_kind.as_ref()).flat_map(|k| k.keys()).collect();
    if kinds.is_empty() {
        return share_chart(
            "Tokens predicted right",
            vec![line_series("", 0, validation_points(rows, |round| round.accuracy))],
        );
    }
    let share = |round: &ValidationRow, kind: &String| round.accuracy_by_kind.as_ref()?.get(kind)?.accuracy();
    let of =
        |(nth, kind): (usize, &&String)| line_series(kind, nth, validation_points(rows, |round| share(round, kind)));
    share_chart("Right answers, by kind of question", kinds.iter().enumerate().map(of).collect())
}

/// What part of the sampled sentences is accepted.
pub fn acceptance_chart(rows: &[Row]) -> Option<ChartView> {
    let points = |value: fn(&SamplesRow) -> Option<f64>| -> Vec<(f64, f64)> {
        samples(rows).filter_map(|row| Some((row.step as f64, value(row)?))).collect()
    };
    let series = vec![
        line_series("well formed", 0, points(|row| row.acceptance_rate)),
        line_series("and consistent", 1, points(consistent_share)),
    ];
    share_chart("Sampled sentences that are accepted", series)
}

fn consistent_share(row: &SamplesRow) -> Option<f64> {
    let pairs = row.samples.iter().filter_map(|sample| Some((sample.consistent?, sample.sentences?)));
    let (right, all) = pairs.fold((0, 0), |sum, pair| (sum.0 + pair.0, sum.1 + pair.1));
    (all > 0).then(|| right as f64 / all as f64)
}

/// Small charts of how the training went: learning rate, gradient, speed, added losses.
pub fn training_charts(rows: &[Row]) -> Vec<ChartView> {
    let gradient = step_points(rows, |step| step.gradient_norm);
    let wide = max_min_ratio(&gradient) > 30.0;
    let mut charts = vec![
        small_chart(
            "Learning rate",
            step_points(rows, |step| step.learning_rate),
            Axis { include_zero: true, ..Axis::default() },
        ),
        small_chart("Gradient norm", gradient, Axis { include_zero: !wide, is_log: wide, ..Axis::default() }),
        small_chart(
            "Tokens a second",
            throughput_points(rows),
            Axis { include_zero: true, unit: Unit::Count, ..Axis::default() },
        ),
    ];
    let names: BTreeSet<&String> = steps(rows).flat_map(|step| step.losses.keys()).collect();
    charts.extend(names.into_iter().map(|name| {
        small_chart(
            &format!("Added loss: {name}"),
            step_points(rows, |step| step.losses.get(name).copied().flatten()),
            Axis::default(),
        )
    }));
    charts.into_iter().flatten().collect()
}

fn small_chart(title: &str, points: Vec<(f64, f64)>, y: Axis) -> Option<ChartView> {
    let last = points.iter().rev().map(|p| p.1).find(|v| v.is_finite());
    let note = last.map(|value| format!("{} at the end", y.unit.format(value))).unwrap_or_default();
    let series = vec![line_series("", 0, points)];
    Chart { title: title.into(), note, height: 130.0, x: step_axis(), y, series, ..Chart::default() }.draw()
}

fn max_min_ratio(points: &[(f64, f64)]) -> f64 {
    let positive = || points.iter().map(|p| p.1).filter(|v| v.is_finite() && *v > 0.0);
    positive().fold(f64::NEG_INFINITY, f64::max) / positive().fold(f64::INFINITY, f64::min)
}

/// Tokens a second between steps that are far enough apart to be timed well.
fn throughput_points(rows: &[Row]) -> Vec<(f64, f64)> {
    let timed: Vec<_> = steps(rows).filter_map(|step| Some((step.step, step.tokens, step.seconds?))).collect();
    let apart = (timed.len() / 60).max(1);
    let marks: Vec<_> = timed.into_iter().step_by(apart).collect();
    let between = |pair: &[(u64, u64, f64)]| {
        let rate = pair[1].1.saturating_sub(pair[0].1) as f64 / (pair[1].2 - pair[0].2);
        (pair[1].0 as f64, if rate > 0.0 { rate } else { f64::NAN })
    };
    marks.windows(2).map(between).collect()
}

/// Step, tokens and time at some of the steps, for the script to name the others.
pub fn clock_json(rows: &[Row]) -> String {
    let all: Vec<_> = steps(rows).map(|s| (s.step, s.tokens, s.seconds.filter(|t| t.is_finite()))).collect();
    let some: Vec<_> = all.iter().step_by((all.len() / 150).max(1)).chain(all.last()).collect();
    serde_json::to_string(&some).unwrap_or_default()
}
