//! The view of the training report, `templates/report.html`.
//!
//! The page from top to bottom:
//!
//! | section | drawn from | left out without |
//! |---|---|---|
//! | name, one-sentence summary, facts | [`Report`] | – |
//! | headline metrics, in 3 or 4 columns | [`Report`] | each metric without its value |
//! | loss: close-up, full, log–log | steps, evaluations, events | any loss |
//! | metrics of the objective, over steps | steps, evaluations | the values |
//! | accuracy and accepted sentences, over steps | evaluations, samples | the values |
//! | compression: bars in bits per byte, best first | [`Compression`] | the value of the model |
//! | samples of up to four steps | samples | samples |
//! | objective examples with their attention masks | [`ObjectiveExample`] | tokens |
//! | model: layers, costs, attention patterns | [`ModelSummary`](super::data::ModelSummary) | layers |
//! | training curves and auxiliary losses over steps | steps | finite values |
//! | expert loads: one row per layer | [`ExpertLoad`](super::data::ExpertLoad) | experts |
//! | checkpoints, the latest 100 events, command lines, recipe | [`Report`], events | entries |
//!
//! A run without any row gives a page with the name, the summary `no loss has been measured`, tokens and time.

use serde::Serialize;

use super::chart::ChartView;
use super::curves;
use super::data::{BaseModel, CheckpointEntry, Compression, ExampleToken, ObjectiveExample, PatternMask, Report};
use super::expert_loads::{self, ExpertLoadRow};
use super::metrics_rows::EventRow;
use super::model_view::{self, ModelView, PatternView};
use super::number_format::{
    format_bytes, format_count, format_duration, format_metric, format_percent, loss_label, metric_title,
};
use super::objective_metrics;
use super::sample_texts::{self, SampleGroup};

/// Maximum number of listed events; the latest are shown.
const MAX_EVENTS: usize = 100;

/// Maximum number of headline metrics of the objective.
const MAX_METRICS: usize = 3;

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
    metric_charts: Vec<ChartView>,
    accuracy_charts: Vec<ChartView>,
    training_charts: Vec<ChartView>,
    auxiliary_chart: Option<ChartView>,
    expert_loads: Vec<ExpertLoadRow<'a>>,
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
    commands: &'a [String],
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
    name: String,
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
        metric_charts: objective_metrics::charts(report),
        accuracy_charts: accuracy_charts.into_iter().flatten().collect(),
        training_charts: curves::training_charts(&report.rows),
        auxiliary_chart: curves::auxiliary_loss_chart(&report.rows),
        expert_loads: expert_loads::view(&report.expert_loads),
        compression: report.compression.as_ref().and_then(compression_bars),
        has_rejected: sample_groups.iter().any(SampleGroup::has_rejected),
        has_floor: finite_value(report.floor).is_some(),
        sample_groups,
        model: model_view::view(&report.model),
        examples: examples.map(|example| example_view(example, report)).collect(),
        checkpoints: report.checkpoints.iter().map(checkpoint_row).collect(),
        events: event_rows(report),
        recipe: &report.recipe_toml,
        commands: &report.commands,
        clock: curves::clock_json(&report.rows),
    }
}

/// The tabs of the loss chart: close-up (shown first), full, and log–log. A view without a finite value is left out.
fn loss_charts(report: &Report) -> Vec<(&'static str, ChartView)> {
    use curves::LossView::{Full, Log, Zoomed};
    let views = [("close-up", Zoomed), ("full", Full), ("log–log", Log)];
    let charts = views.into_iter().filter_map(|(name, view)| {
        Some((name, curves::loss_chart(&report.rows, &report.loss_unit, report.floor, view)?))
    });
    charts.collect()
}

/// The attention mask becomes an SVG path. A mask that is the beginning of an attention pattern of the model is left out,
/// because the model section draws it.
fn example_view<'a>(example: &'a ObjectiveExample, report: &Report) -> ExampleView<'a> {
    let patterns = model_view::distinct_patterns(&report.model.layers);
    let is_drawn_below = |mask: &PatternMask| patterns.iter().any(|pattern| is_beginning(mask, pattern));
    let mask = example.pattern.as_ref().filter(|mask| !is_drawn_below(mask));
    ExampleView { title: &example.title, tokens: &example.tokens, pattern: mask.map(model_view::draw_pattern) }
}

/// Whether `mask` is the upper left part of `pattern`.
fn is_beginning(mask: &PatternMask, pattern: &PatternMask) -> bool {
    let mut cells = (0..mask.size).flat_map(|query| (0..mask.size).map(move |key| (query, key)));
    mask.size <= pattern.size && cells.all(|(query, key)| mask.is_visible(query, key) == pattern.is_visible(query, key))
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
    let base = report.base.as_ref().map(|base| describe_base(base, report.parameters)).unwrap_or_default();
    format!("{base}{start} {steps} ({tokens} tokens, {time}) {}.", describe_loss(report))
}

/// `Fine-tuned from SmolLM2 (LoRA, rank 8): 0.36 % of 135 M parameters. `
fn describe_base(base: &BaseModel, parameters: u64) -> String {
    let method = if base.method.is_empty() { String::new() } else { format!(" ({})", base.method) };
    let share = non_breaking(format_percent(trained_share(base, parameters)));
    let total = non_breaking(format_count(parameters as f64));
    format!("Fine-tuned from {}{method}: {share} of {total} parameters were trained. ", base.name)
}

/// Trained parameters relative to all.
fn trained_share(base: &BaseModel, parameters: u64) -> f64 {
    base.trained_parameters as f64 / parameters.max(1) as f64
}

/// The validation loss, compared with the floor or with compressors; else the training loss.
///
/// Without an evaluation it says so; without any loss, `no loss has been measured`.
fn describe_loss(report: &Report) -> String {
    let subset = if report.is_pseudo { " of masked tokens" } else { "" };
    let unit = loss_label(&report.loss_unit);
    if let Some(loss) = finite_value(report.validation_loss) {
        let before = report.base.as_ref().and_then(|base| finite_value(base.initial_loss));
        if let Some(before) = before {
            return format!("validation loss{subset} went from {before:.3} to {loss:.3} {unit}");
        }
        let comparison = floor_comparison(report).or_else(|| compressor_comparison(report)).unwrap_or_default();
        return format!("validation loss{subset} is {loss:.2} {unit}{comparison}");
    }
    match finite_value(report.train_loss) {
        Some(loss) => format!("training loss{subset} is {loss:.2} {unit}; there was no evaluation"),
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
/// Up to nine: validation loss, the trained share of a fine-tuning run, the distance from the lowest possible loss,
/// training loss, bits per byte, accepted sentences, parameters, tokens and time; up to [`MAX_METRICS`] metrics of the
/// objective follow the validation loss. Tokens and time are always there.
fn headline_metrics(report: &Report) -> Vec<HeadlineMetric> {
    let floor = finite_value(report.floor).map(|floor| format!("of {floor:.3} nats per token")).unwrap_or_default();
    let speed =
        finite_value(report.tokens_per_second).map(|speed| format!("{} tokens per second", format_count(speed)));
    let parameters = (report.parameters > 0).then(|| format_count(report.parameters as f64));
    let acceptance_rate = finite_value(report.acceptance_rate).map(format_percent);
    let base = report.base.as_ref();
    let trained = base.map(|base| format_percent(trained_share(base, report.parameters)));
    let trained_count = base.map(|base| format!("{} parameters", format_count(base.trained_parameters as f64)));
    let metrics = [
        validation_headline(report),
        ("Trained share", trained, trained_count.unwrap_or_default()),
        ("Above the lowest possible loss", share_above_floor(report).map(format_percent), floor),
        ("Training loss", format_loss(report.train_loss), loss_label(&report.loss_unit)),
        ("Bits per byte", format_loss(report.bits_per_byte), "of validation text".into()),
        ("Accepted by the grammar", acceptance_rate, "of the sentences in samples".into()),
        ("Parameters", parameters, String::new()),
        ("Tokens", Some(format_count(report.tokens as f64)), format!("in {}", format_steps(report))),
        ("Time", Some(format_duration(report.seconds)), speed.unwrap_or_default()),
    ];
    let mut metrics: Vec<HeadlineMetric> = metrics
        .into_iter()
        .filter_map(|(name, value, description)| Some(HeadlineMetric { name: name.into(), value: value?, description }))
        .collect();
    let position = usize::from(finite_value(report.validation_loss).is_some());
    metrics.splice(position..position, metric_headlines(report));
    metrics
}

/// The first metrics of the objective that have a value, as of the last evaluation.
fn metric_headlines(report: &Report) -> Vec<HeadlineMetric> {
    let metrics = objective_metrics::described_metrics(report);
    let headlines = metrics.iter().filter_map(|metric| {
        let value = objective_metrics::last_value(report, &metric.name)?;
        let (value, unit) = match metric.unit.as_str() {
            "" => (format_metric(value, ""), String::new()),
            unit => (format!("{value:.3}"), format!("{unit}, ")),
        };
        let description = format!("{unit}{}", metric.better.description());
        Some(HeadlineMetric { name: metric_title(&metric.name), value, description })
    });
    headlines.take(MAX_METRICS).collect()
}

/// The validation loss; for a fine-tuning run, that before the first step and that at the end.
fn validation_headline(report: &Report) -> (&'static str, Option<String>, String) {
    let before = report.base.as_ref().and_then(|base| format_loss(base.initial_loss));
    let loss = format_loss(report.validation_loss);
    let unit = loss_label(&report.loss_unit);
    match before.zip(loss.clone()) {
        Some((before, after)) => {
            ("Validation loss", Some(format!("{before} → {after}")), format!("{unit}, before → after"))
        }
        None => ("Validation loss", loss, unit),
    }
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
