//! The charts of one run, from the rows of `metrics.jsonl`.
//!
//! | chart | height | x | y | color: line |
//! |---|---|---|---|---|
//! | loss ([`loss_chart`]) | 340 px | step | nats per token | 0: training, 1: validation, gray dashed: lowest possible |
//! | accuracy ([`accuracy_chart`]) | 240 px | step | 0 to 100 % | one for each kind of dependency, in alphabetical order |
//! | accepted sentences ([`acceptance_chart`]) | 240 px | step | 0 to 100 % | 0: well formed, 1: also consistent |
//! | training ([`training_charts`]) | 130 px | step | one unit each | 0 |
//! | auxiliary losses ([`auxiliary_loss_chart`]) | 240 px | step | the loss | one for each kind of loss |
//!
//! All of them belong to the report (`templates/report.html`). The comparison page uses the row filters and
//! [`zoomed_range`]. A chart whose values are all missing or non-finite is `None`, and the page leaves it out; a single
//! value is drawn as a dot.

use std::collections::BTreeSet;

use super::chart::{Axis, Chart, ChartView, LineStyle, Series};
use super::downsample::smooth;
use super::metrics_rows::{EventRow, Row, SamplesRow, StepRow, ValidationRow};
use super::number_format::{Unit, loss_label};
use super::scale::Scale;

/// A gradient norm that varies by more than this factor is drawn on a logarithmic axis.
const MAX_LINEAR_RATIO: f64 = 30.0;

/// Number of points of the throughput chart. Single steps are too short to be timed well.
const THROUGHPUT_POINTS: usize = 60;

/// Number of steps for which the page holds tokens and time.
const CLOCK_POINTS: usize = 150;

/// Label of the dashed line at the entropy of the built-in stories.
pub const FLOOR_LABEL: &str = "lowest possible";

/// An event in words: `not_finite` becomes `loss not finite`.
pub fn event_label(event: &str) -> String {
    match event {
        "not_finite" => "loss not finite".into(),
        _ => event.replace('_', " "),
    }
}

/// Training steps among `rows`.
pub fn steps(rows: &[Row]) -> impl Iterator<Item = &StepRow> {
    rows.iter().filter_map(|row| if let Row::Step(step) = row { Some(step) } else { None })
}

/// Evaluations among `rows`.
pub fn validations(rows: &[Row]) -> impl Iterator<Item = &ValidationRow> {
    rows.iter().filter_map(|row| if let Row::Validation(validation) = row { Some(validation) } else { None })
}

/// Generated samples among `rows`.
pub fn samples(rows: &[Row]) -> impl Iterator<Item = &SamplesRow> {
    rows.iter().filter_map(|row| if let Row::Samples(samples) = row { Some(samples) } else { None })
}

/// Events among `rows`, without the start, whose command line the report shows elsewhere.
pub fn events(rows: &[Row]) -> impl Iterator<Item = &EventRow> {
    let events = rows.iter().filter_map(|row| if let Row::Event(event) = row { Some(event) } else { None });
    events.filter(|event| event.event != "started")
}

/// One point (step, value) per training step. A missing value becomes NaN, which the chart draws as a gap.
pub fn step_points(rows: &[Row], value: impl Fn(&StepRow) -> Option<f64>) -> Vec<(f64, f64)> {
    steps(rows).map(|row| (row.step as f64, value(row).unwrap_or(f64::NAN))).collect()
}

/// One point (step, value) per evaluation that has the value. Neighboring evaluations are connected.
pub fn validation_points(rows: &[Row], value: impl Fn(&ValidationRow) -> Option<f64>) -> Vec<(f64, f64)> {
    validations(rows).filter_map(|row| Some((row.step as f64, value(row)?))).collect()
}

/// One point per sampling that has the value.
fn sample_points(rows: &[Row], value: impl Fn(&SamplesRow) -> Option<f64>) -> Vec<(f64, f64)> {
    samples(rows).filter_map(|row| Some((row.step as f64, value(row)?))).collect()
}

/// The x axis of all charts of one run. Its label is what `hover.js` recognizes step charts by.
pub(super) fn step_axis() -> Axis {
    Axis { label: "step".into(), unit: Unit::Count, ..Axis::default() }
}

/// A solid line.
fn line_series(name: &str, color: usize, points: Vec<(f64, f64)>) -> Series {
    Series { name: name.into(), color, points, ..Series::default() }
}

/// A dashed gray line at `value` over the x range of `series`. `None` if `series` has no point.
pub fn horizontal_line(name: &str, value: f64, series: &[Series]) -> Option<Series> {
    let points = series.iter().flat_map(|line| &line.points);
    let first = points.clone().map(|point| point.0).min_by(f64::total_cmp)?;
    let last = points.map(|point| point.0).max_by(f64::total_cmp)?;
    Some(Series { style: LineStyle::Dashed, ..line_series(name, 0, vec![(first, value), (last, value)]) })
}

/// Smoothed training loss over steps.
pub(super) fn training_loss(rows: &[Row]) -> Vec<(f64, f64)> {
    smooth(&step_points(rows, |row| row.loss))
}

/// Validation loss over steps.
pub(super) fn validation_loss(rows: &[Row]) -> Vec<(f64, f64)> {
    validation_points(rows, |row| row.loss)
}

/// Which part of the loss curve is shown, and on which axes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LossView {
    /// The whole curve, linear axes.
    Full,
    /// Linear axes; y up to the highest loss after the first tenth of the steps.
    Zoomed,
    /// The whole curve, both axes logarithmic.
    Log,
}

/// Training and validation loss over steps, in nats per `unit` (empty: token), with vertical markers at events.
///
/// The training loss appears twice in color 0: smoothed ([`smooth`]), and faint with every step, so that spikes stay
/// visible. The validation loss has color 1. `floor`, the entropy of the built-in stories in nats per token, becomes a
/// dashed line. The event `finished` has no marker. Missing losses interrupt the line.
pub fn loss_chart(rows: &[Row], unit: &str, floor: Option<f64>, view: LossView) -> Option<ChartView> {
    let is_log = view == LossView::Log;
    let mut series = vec![
        Series { style: LineStyle::Faint, ..line_series("", 0, step_points(rows, |row| row.loss)) },
        line_series("training", 0, training_loss(rows)),
        line_series("validation", 1, validation_loss(rows)),
    ];
    series.extend(floor.and_then(|value| horizontal_line(FLOOR_LABEL, value, &series)));
    let range = if view == LossView::Zoomed { zoomed_range(&series) } else { None };
    let markers = events(rows).filter(|row| row.event != "finished");
    let chart = Chart {
        title: "Loss".into(),
        height: 340.0,
        x: Axis { is_log, ..step_axis() },
        y: Axis { label: loss_label(unit), unit: Unit::Loss, is_log, range, ..Axis::default() },
        series,
        event_markers: markers.map(|row| (row.step as f64, event_label(&row.event))).collect(),
        ..Chart::default()
    };
    chart.draw()
}

/// Range of the y axis for a close-up.
///
/// With x_max the largest x of the named lines, the range covers their finite values at x > 0.1 · x_max and is rounded
/// outwards ([`Scale::round_ends`]). Faint lines do not count. Without this limit, the steep fall at the start of a
/// training takes most of the height. `None` if no value remains.
pub fn zoomed_range(series: &[Series]) -> Option<(f64, f64)> {
    let named = series.iter().filter(|line| line.style != LineStyle::Faint);
    let points: Vec<(f64, f64)> =
        named.flat_map(|line| line.points.iter().copied()).filter(|point| point.1.is_finite()).collect();
    let last = points.iter().map(|point| point.0).max_by(f64::total_cmp)?;
    let later = points.iter().filter(|point| point.0 > 0.1 * last).map(|point| point.1);
    let scale = Scale::from_values(later, false)?.round_ends(Unit::Loss, 5);
    Some((scale.low, scale.high))
}

/// A chart of shares: 240 pixels high, with a fixed y axis from 0 to 100 %, `note` beside the title.
fn share_chart(title: &str, note: &str, series: Vec<Series>) -> Option<ChartView> {
    let y = Axis { unit: Unit::Percent, range: Some((0.0, 1.0)), ..Axis::default() };
    let x = step_axis();
    Chart { title: title.into(), note: note.into(), height: 240.0, x, y, series, ..Chart::default() }.draw()
}

/// Accuracy: by kind of dependency for the built-in stories, else over all tokens.
///
/// The kinds of dependencies (such as agreement or recall) are those of the built-in stories: tokens that the text
/// before them determines.
pub fn accuracy_chart(rows: &[Row]) -> Option<ChartView> {
    let by_kind = validations(rows).filter_map(|row| row.accuracy_by_kind.as_ref());
    let kinds: BTreeSet<&String> = by_kind.flat_map(|kinds| kinds.keys()).collect();
    if kinds.is_empty() {
        let accuracy = line_series("", 0, validation_points(rows, |row| row.accuracy));
        return share_chart("Accuracy", "correctly predicted tokens of the validation text", vec![accuracy]);
    }
    let series = kinds.iter().enumerate().map(|(color, kind)| {
        let points = validation_points(rows, |row| row.accuracy_by_kind.as_ref()?.get(*kind)?.accuracy());
        line_series(kind, color, points)
    });
    share_chart("Accuracy by kind of dependency", "correctly predicted tokens", series.collect())
}

/// Share of the sentences in the samples that the grammar of the built-in stories accepts (well formed), and of those
/// that also agree with the sentences before them (consistent). `None` for other texts.
pub fn acceptance_chart(rows: &[Row]) -> Option<ChartView> {
    let series = vec![
        line_series("well formed", 0, sample_points(rows, |row| row.acceptance_rate)),
        line_series("also consistent", 1, sample_points(rows, consistent_share)),
    ];
    share_chart("Accepted sentences", "of all sentences in samples", series)
}

/// Share of the sentences that are consistent with the sentences before them. `None` without sentences.
///
/// Sentences are counted over all samples of the row, so that long samples weigh more.
fn consistent_share(row: &SamplesRow) -> Option<f64> {
    let counts = row.samples.iter().filter_map(|sample| Some((sample.consistent?, sample.sentences?)));
    let (consistent, sentences) = counts.fold((0, 0), |sum, count| (sum.0 + count.0, sum.1 + count.1));
    (sentences > 0).then(|| consistent as f64 / sentences as f64)
}

/// Small charts of the training: learning rate, gradient norm, throughput and each auxiliary loss.
///
/// Charts without a finite value are left out. The gradient norm is drawn on a logarithmic axis if it varies by more
/// than a factor of 30.
pub fn training_charts(rows: &[Row]) -> Vec<ChartView> {
    let from_zero = Axis { include_zero: true, ..Axis::default() };
    let gradient_norm = step_points(rows, |row| row.gradient_norm);
    let is_log = max_min_ratio(&gradient_norm) > MAX_LINEAR_RATIO;
    let gradient_axis = Axis { include_zero: !is_log, is_log, ..Axis::default() };
    let throughput_axis = Axis { unit: Unit::Count, ..from_zero.clone() };
    let learning_rate = step_points(rows, |row| row.learning_rate);
    let charts = [
        small_chart("Learning rate", learning_rate, from_zero),
        small_chart("Gradient norm", gradient_norm, gradient_axis),
        small_chart("Tokens per second", throughput_points(rows), throughput_axis),
    ];
    charts.into_iter().flatten().collect()
}

/// Auxiliary losses, such as those of routers, in one chart of 240 pixels: for each kind of loss (the last part of its
/// name, such as `balance`) the mean over the layers as a solid line, and each layer as a faint one.
pub fn auxiliary_loss_chart(rows: &[Row]) -> Option<ChartView> {
    let names: BTreeSet<&String> = steps(rows).flat_map(|row| row.losses.keys()).collect();
    let kinds: BTreeSet<&str> = names.iter().map(|name| loss_kind(name)).collect();
    let mut series = Vec::new();
    for (color, kind) in kinds.into_iter().enumerate() {
        let members: Vec<&String> = names.iter().copied().filter(|name| loss_kind(name) == kind).collect();
        let value = |row: &StepRow, name: &String| row.losses.get(name).copied().flatten();
        for name in members.iter().filter(|_| members.len() > 1) {
            let points = smooth(&step_points(rows, |row| value(row, name)));
            series.push(Series { color, style: LineStyle::Faint, points, ..Series::default() });
        }
        let mean = |row: &StepRow| {
            let values: Vec<f64> = members.iter().filter_map(|name| value(row, name)).collect();
            (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
        };
        series.push(line_series(kind, color, smooth(&step_points(rows, mean))));
    }
    let chart = Chart {
        title: "Auxiliary losses".into(),
        note: "mean over the layers; pale: each layer".into(),
        height: 240.0,
        x: step_axis(),
        y: Axis { include_zero: true, ..Axis::default() },
        series,
        ..Chart::default()
    };
    chart.draw()
}

/// `balance` for `blocks.3.feed_forward.balance`.
fn loss_kind(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}

/// A small chart of one line in color 0, 130 pixels high, with the last finite value beside the title.
fn small_chart(title: &str, points: Vec<(f64, f64)>, y: Axis) -> Option<ChartView> {
    let last = points.iter().rev().map(|point| point.1).find(|value| value.is_finite());
    let note = last.map(|value| format!("{} at the end", y.unit.format(value))).unwrap_or_default();
    let series = vec![line_series("", 0, points)];
    Chart { title: title.into(), note, height: 130.0, x: step_axis(), y, series, ..Chart::default() }.draw()
}

/// Ratio of the largest to the smallest positive value. NaN, which is above no limit, without a positive value.
fn max_min_ratio(points: &[(f64, f64)]) -> f64 {
    let positive = points.iter().map(|point| point.1).filter(|value| value.is_finite() && *value > 0.0);
    positive.clone().fold(f64::NEG_INFINITY, f64::max) / positive.fold(f64::INFINITY, f64::min)
}

/// Training tokens per second, averaged over stretches of the training.
///
/// Every k-th timed step ends a stretch, k = ⌊number of timed steps / 60⌋ and at least 1. The rate of a stretch from
/// step a to step b is (tokens_b − tokens_a) / (seconds_b − seconds_a), drawn at b. A rate that is not positive becomes a
/// gap, which happens where a run was resumed and its clock restarted. One timed step gives no point.
fn throughput_points(rows: &[Row]) -> Vec<(f64, f64)> {
    let timed: Vec<(&StepRow, f64)> = steps(rows).filter_map(|row| Some((row, row.seconds?))).collect();
    let stride = (timed.len() / THROUGHPUT_POINTS).max(1);
    let ends: Vec<(&StepRow, f64)> = timed.into_iter().step_by(stride).collect();
    let rates = ends.windows(2).map(|pair| {
        let [(start, start_seconds), (end, end_seconds)] = [pair[0], pair[1]];
        let rate = end.tokens.saturating_sub(start.tokens) as f64 / (end_seconds - start_seconds);
        (end.step as f64, if rate > 0.0 { rate } else { f64::NAN })
    });
    rates.collect()
}

/// JSON array of `[step, tokens, seconds]` at about 150 steps, the last one included; `seconds` may be null.
///
/// `templates/page.html` puts it into `data-clock`. For a chart over steps, `hover.js` shows tokens and time of the
/// nearest entry. An empty run gives `[]`.
pub fn clock_json(rows: &[Row]) -> String {
    let all: Vec<(u64, u64, Option<f64>)> =
        steps(rows).map(|row| (row.step, row.tokens, row.seconds.filter(|time| time.is_finite()))).collect();
    let selected: Vec<_> = all.iter().step_by((all.len() / CLOCK_POINTS).max(1)).chain(all.last()).collect();
    serde_json::to_string(&selected).unwrap_or_default()
}
