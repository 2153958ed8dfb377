//! The view of the training report, `templates/report.html`.
//!
//! The page from top to bottom:
//!
//! | section | drawn from | left out without |
//! |---|---|---|
//! | name, one-sentence summary, facts | [`Report`] | – |
//! | headline metrics, in 3 or 4 columns | [`Report`] | each metric without its value |
//! | loss: close-up, full, log–log | steps, evaluations, events | any loss |
//! | accuracy and accepted sentences, over steps | evaluations, samples | the values |
//! | compression: bars in bits per byte, best first | [`Compression`] | the value of the model |
//! | samples of up to four steps | samples | samples |
//! | objective examples with their attention masks | [`ObjectiveExample`] | tokens |
//! | model: layers, costs, attention patterns | [`ModelSummary`](super::data::ModelSummary) | layers |
//! | training curves over steps | steps | finite values |
//! | checkpoints, the latest 100 events, recipe | [`Report`], events | entries |
//!
//! A run without any row gives a page with the name, the summary `no loss has been measured`, tokens and time.

use serde::Serialize;

use super::chart::ChartView;
use super::curves;
use super::data::{CheckpointEntry, Compression, ExampleToken, ObjectiveExample, Report};
use super::metrics_rows::EventRow;
use super::model_view::{self, ModelView, PatternView};
use super::number_format::{format_bytes, format_count, format_duration, format_percent};
use super::sample_texts::{self, SampleGroup};

/// Maximum number of listed events; the latest are shown.
const MAX_EVENTS: usize = 100;

/// Fields of `templates/report.html`.
///
/// Sections without data are empty or `None`; the template leaves them out.
#[derive(Serialize)]
pub struct View<'a> {
    name: &'a str,
    objective: &'a str,
    run_info: &'a [(String, String)],
    summary: String,
    headline_metrics: Vec<HeadlineMetric>,
    /// Number of columns of the headline metrics on a wide screen.
    columns: usize,
    /// Name and chart of each view of the loss.
    loss_charts: Vec<(&'static str, ChartView)>,
    accuracy_charts: Vec<ChartView>,
    training_charts: Vec<ChartView>,
    compression: Option<CompressionBars>,
    sample_groups: Vec<SampleGroup>,
    /// Whether a sample holds a rejected sentence; a note then explains the underline.
    has_rejected: bool,
    /// Whether the loss charts show the lowest possible loss; a note then explains the dashed line.
    has_floor: bool,
    model: ModelView,
    examples: Vec<ExampleView<'a>>,
    /// Step, validation loss, size, and whether it is the best.
    checkpoints: Vec<(String, String, String, bool)>,
    /// Step, event, detail and time.
    events: Vec<(String, String, String, String)>,
    recipe: &'a str,
    /// JSON for `hover.js`.
    clock: String,
}

/// An example of the objective.
#[derive(Serialize)]
struct ExampleView<'a> {
    title: &'a str,
    tokens: &'a [ExampleToken],
    pattern: Option<PatternView>,
}

/// A large number with its name above and a description below.
#[derive(Serialize)]
struct HeadlineMetric {
    name: &'static str,
    value: String,
    description: String,
}

/// Bars of the compression chart. Lower is better.
#[derive(Serialize)]
struct CompressionBars {
    text_size: String,
    /// Name, bits per byte, and percent of the longest bar; best first.
    bars: Vec<(&'static str, String, f64)>,
}

/// Builds the view.
pub fn view(report: &Report) -> View<'_> {
    let headline_metrics = headline_metrics(report);
    let sample_groups = sample_texts::sample_groups(&report.rows);
    let accuracy_charts = [curves::accuracy_chart(&report.rows), curves::acceptance_chart(&report.rows)];
    let examples = report.examples.iter().filter(|example| !example.tokens.is_empty());
    View {
        name: &report.name,
        objective: &report.objective,
        run_info: &report.run_info,
        summary: summary(report),
        columns: if headline_metrics.len().is_multiple_of(3) { 3 } else { 4 },
        headline_metrics,
        loss_charts: loss_charts(report),
        accuracy_charts: accuracy_charts.into_iter().flatten().collect(),
        training_charts: curves::training_charts(&report.rows),
        compression: report.compression.as_ref().and_then(compression_bars),
        has_rejected: sample_groups.iter().any(SampleGroup::has_rejected),
        has_floor: finite_value(report.floor).is_some(),
        sample_groups,
        model: model_view::view(&report.model),
        examples: examples.map(example_view).collect(),
        checkpoints: report.checkpoints.iter().map(checkpoint_row).collect(),
        events: event_rows(report),
        recipe: &report.recipe_toml,
        clock: curves::clock_json(&report.rows),
    }
}

/// The tabs of the loss chart: close-up (shown first), full, and log–log. A view without a finite value is left out.
fn loss_charts(report: &Report) -> Vec<(&'static str, ChartView)> {
    use curves::LossView::{Full, Log, Zoomed};
    let views = [("close-up", Zoomed), ("full", Full), ("log–log", Log)];
    let charts = views
        .into_iter()
        .filter_map(|(name, view)| Some((name, curves::loss_chart(&report.rows, report.floor, view)?)));
    charts.collect()
}

/// The attention mask becomes an SVG path.
fn example_view(example: &ObjectiveExample) -> ExampleView<'_> {
    let pattern = example.pattern.as_ref().map(model_view::draw_pattern);
    ExampleView { title: &example.title, tokens: &example.tokens, pattern }
}

/// `None` for infinite values and NaN.
fn finite_value(value: Option<f64>) -> Option<f64> {
    value.filter(|value| value.is_finite())
}

/// Keeps a number and its unit on one line.
fn non_breaking(text: String) -> String {
    text.replace(' ', "\u{a0}")
}

/// `1 step`, `720 steps`, with a non-breaking space in larger numbers.
fn format_steps(report: &Report) -> String {
    match report.steps {
        1 => "1 step".into(),
        steps => format!("{} steps", non_breaking(format_count(steps as f64))),
    }
}

/// One sentence on how the run ended: `After 720 steps (2.21 M tokens, 2 min 58 s) validation loss is 1.93 nats per
/// token, 18 % above the lowest possible loss of 1.63.`
///
/// Numbers and units are joined by non-breaking spaces. The beginning depends on the last event: interrupted, stopped
/// by a non-finite loss, or neither.
pub fn summary(report: &Report) -> String {
    let last_event = curves::events(&report.rows).last().map_or("", |event| event.event.as_str());
    let start = match last_event {
        "interrupted" => "Interrupted after",
        "not_finite" => "Stopped, because the loss was no longer finite, after",
        _ => "After",
    };
    let steps = format_steps(report);
    let tokens = non_breaking(format_count(report.tokens as f64));
    let time = non_breaking(format_duration(report.seconds));
    format!("{start} {steps} ({tokens} tokens, {time}) {}.", describe_loss(report))
}

/// The validation loss, compared with the floor or with compressors; else the training loss.
///
/// Without an evaluation it says so; without any loss, `no loss has been measured`.
fn describe_loss(report: &Report) -> String {
    let subset = if report.is_pseudo { " of masked tokens" } else { "" };
    if let Some(loss) = finite_value(report.validation_loss) {
        let comparison = floor_comparison(report).or_else(|| compressor_comparison(report)).unwrap_or_default();
        return format!("validation loss{subset} is {loss:.2} nats per token{comparison}");
    }
    match finite_value(report.train_loss) {
        Some(loss) => format!("training loss{subset} is {loss:.2} nats per token; there was no evaluation"),
        None => "no loss has been measured".into(),
    }
}

/// By how much the validation loss exceeds the floor, relative to the floor: loss / floor − 1. Negative below it; `None`
/// unless both are finite and the floor is positive.
fn share_above_floor(report: &Report) -> Option<f64> {
    let loss = finite_value(report.validation_loss)?;
    let floor = finite_value(report.floor).filter(|floor| *floor > 0.0)?;
    Some(loss / floor - 1.0)
}

/// `, 18 % above the lowest possible loss of 1.63`.
fn floor_comparison(report: &Report) -> Option<String> {
    let floor = report.floor?;
    let share = share_above_floor(report)?;
    let side = if share < 0.0 { "below" } else { "above" };
    Some(format!(", {} {side} the lowest possible loss of {floor:.2}", non_breaking(format_percent(share.abs()))))
}

/// `, 1.42 bits per byte (xz: 1.83)`, with the best compressor.
fn compressor_comparison(report: &Report) -> Option<String> {
    let bits = finite_value(report.bits_per_byte)?;
    let compressors = report.compression.as_ref().map(compressor_results).unwrap_or_default();
    let best = compressors.into_iter().min_by(|a, b| a.1.total_cmp(&b.1));
    let comparison = best.map(|(name, best)| format!(" ({name}: {best:.2})")).unwrap_or_default();
    Some(format!(", {bits:.2} bits per byte{comparison}"))
}

/// Name and bits per byte of each compressor.
fn compressor_results(compression: &Compression) -> Vec<(&'static str, f64)> {
    let results = [("gzip", compression.gzip), ("zstd", compression.zstd), ("xz", compression.xz)];
    results.into_iter().filter_map(|(name, bits)| Some((name, finite_value(bits)?))).collect()
}

/// The text size and one bar per compressor and for the model, best first. The width is 100 % · bits / largest bits.
/// `None` if the model has no finite value.
fn compression_bars(compression: &Compression) -> Option<CompressionBars> {
    let mut results = compressor_results(compression);
    results.push(("this model", finite_value(compression.model)?));
    results.sort_by(|a, b| a.1.total_cmp(&b.1));
    let longest = results.last()?.1.max(f64::MIN_POSITIVE);
    let bars =
        results.into_iter().map(|(name, bits)| (name, format!("{bits:.2}"), (1000.0 * bits / longest).round() / 10.0));
    Some(CompressionBars { text_size: format_bytes(compression.bytes as f64), bars: bars.collect() })
}

/// The metrics that the run has, most important first.
///
/// Up to eight: validation loss, its distance from the lowest possible loss, training loss, bits per byte, accepted
/// sentences, parameters, tokens and time. Tokens and time are always there.
fn headline_metrics(report: &Report) -> Vec<HeadlineMetric> {
    let floor = finite_value(report.floor).map(|floor| format!("of {floor:.3} nats per token")).unwrap_or_default();
    let speed =
        finite_value(report.tokens_per_second).map(|speed| format!("{} tokens per second", format_count(speed)));
    let parameters = (report.parameters > 0).then(|| format_count(report.parameters as f64));
    let acceptance_rate = finite_value(report.acceptance_rate).map(format_percent);
    let metrics = [
        ("Validation loss", format_loss(report.validation_loss), "nats per token".into()),
        ("Above the lowest possible loss", share_above_floor(report).map(format_percent), floor),
        ("Training loss", format_loss(report.train_loss), "nats per token".into()),
        ("Bits per byte", format_loss(report.bits_per_byte), "of validation text".into()),
        ("Accepted by the grammar", acceptance_rate, "of the sentences in samples".into()),
        ("Parameters", parameters, String::new()),
        ("Tokens", Some(format_count(report.tokens as f64)), format!("in {}", format_steps(report))),
        ("Time", Some(format_duration(report.seconds)), speed.unwrap_or_default()),
    ];
    let metrics = metrics
        .into_iter()
        .filter_map(|(name, value, description)| Some(HeadlineMetric { name, value: value?, description }));
    metrics.collect()
}

/// Three decimals. `None` for non-finite values.
fn format_loss(value: Option<f64>) -> Option<String> {
    finite_value(value).map(|value| format!("{value:.3}"))
}

/// Step, validation loss, size and whether it is the best checkpoint, as in [`View::checkpoints`].
fn checkpoint_row(checkpoint: &CheckpointEntry) -> (String, String, String, bool) {
    let step = format_count(checkpoint.step as f64);
    let loss = format_loss(checkpoint.validation_loss).unwrap_or_else(|| "–".into());
    (step, loss, format_bytes(checkpoint.bytes as f64), checkpoint.is_best)
}

/// The latest [`MAX_EVENTS`] events, oldest first.
fn event_rows(report: &Report) -> Vec<(String, String, String, String)> {
    let skipped = curves::events(&report.rows).count().saturating_sub(MAX_EVENTS);
    curves::events(&report.rows).skip(skipped).map(event_row).collect()
}

/// Step, event, detail and time, as in [`View::events`].
fn event_row(row: &EventRow) -> (String, String, String, String) {
    let step = format_count(row.step as f64);
    let time = row.seconds.map(format_duration).unwrap_or_default();
    (step, curves::event_label(&row.event), row.detail.clone().unwrap_or_default(), time)
}
