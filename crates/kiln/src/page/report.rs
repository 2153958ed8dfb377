//! The page of one run.

use serde::Serialize;

use super::chart::ChartView;
use super::curves;
use super::data::{CheckpointEntry, Compression, ExampleToken, ObjectiveExample, Report};
use super::model_view::{self, ModelView, PatternView};
use super::number_format::{format_bytes, format_count, format_duration, format_percent};
use super::sample_texts::{self, SampleGroup};

/// How many events are listed.
const MAX_EVENTS: usize = 100;

/// What the template shows.
#[derive(Serialize)]
pub struct View<'a> {
    name: &'a str,
    objective: &'a str,
    run_info: &'a [(String, String)],
    summary: String,
    headline_metrics: Vec<HeadlineMetric>,
    /// In how many columns the figures stand on a wide screen.
    columns: usize,
    loss_charts: Vec<(&'static str, ChartView)>,
    accuracy_charts: Vec<ChartView>,
    training_charts: Vec<ChartView>,
    compression: Option<CompressionBars>,
    sample_groups: Vec<SampleGroup>,
    /// Whether a stretch of the texts is marked as not accepted.
    has_rejected: bool,
    model: ModelView,
    examples: Vec<ExampleView<'a>>,
    checkpoints: Vec<(String, String, String, bool)>,
    events: Vec<(String, String, String, String)>,
    recipe: &'a str,
    clock: String,
}

/// What is asked, and who sees whom.
#[derive(Serialize)]
struct ExampleView<'a> {
    title: &'a str,
    tokens: &'a [ExampleToken],
    pattern: Option<PatternView>,
}

fn example_view(of: &ObjectiveExample) -> ExampleView<'_> {
    ExampleView { title: &of.title, tokens: &of.tokens, pattern: of.pattern.as_ref().map(model_view::draw_pattern) }
}

/// A number with its name above and its meaning below.
#[derive(Serialize)]
struct HeadlineMetric {
    name: &'static str,
    value: String,
    description: String,
}

#[derive(Serialize)]
struct CompressionBars {
    text_size: String,
    /// Name, bits a byte, share of the longest out of a hundred.
    bars: Vec<(&'static str, String, f64)>,
}

/// Gathers what the page of a run shows.
pub fn view(report: &Report) -> View<'_> {
    let loss =
        [("close-up", curves::LossView::Zoomed), ("whole", curves::LossView::Full), ("log–log", curves::LossView::Log)];
    let figures = headline_metrics(report);
    let moments = sample_texts::sample_groups(&report.rows);
    View {
        name: &report.name,
        objective: &report.objective,
        run_info: &report.run_info,
        summary: summary(report),
        columns: if figures.len().is_multiple_of(3) { 3 } else { 4 },
        headline_metrics: figures,
        loss_charts: loss
            .into_iter()
            .filter_map(|(name, view)| Some((name, curves::loss_chart(&report.rows, report.floor, view)?)))
            .collect(),
        accuracy_charts: [curves::accuracy_chart(&report.rows), curves::acceptance_chart(&report.rows)]
            .into_iter()
            .flatten()
            .collect(),
        training_charts: curves::training_charts(&report.rows),
        compression: report.compression.as_ref().and_then(compression_bars),
        has_rejected: moments.iter().any(SampleGroup::has_rejected),
        sample_groups: moments,
        model: model_view::view(&report.model),
        examples: report.examples.iter().filter(|example| !example.tokens.is_empty()).map(example_view).collect(),
        checkpoints: report.checkpoints.iter().map(checkpoint_row).collect(),
        events: event_rows(report),
        recipe: &report.recipe_toml,
        clock: curves::clock_json(&report.rows),
    }
}

fn finite_value(value: Option<f64>) -> Option<f64> {
    value.filter(|v| v.is_finite())
}

/// The number and its unit on one line.
fn non_breaking(text: String) -> String {
    text.replace(' ', "\u{a0}")
}

fn format_steps(report: &Report) -> String {
    if report.steps == 1 {
        "1 step".into()
    } else {
        format!("{} steps", non_breaking(format_count(report.steps as f64)))
    }
}

/// One sentence that says how the run ended: `After 720 steps (2.21 M tokens, 2 min 58 s) validation loss is 1.93 nats a token, 18 % above the generator's own 1.63.`
pub fn summary(report: &Report) -> String {
    let last = curves::events(&report.rows).last().map_or("", |event| event.event.as_str());
    let start = match last {
        "interrupted" => "Interrupted after",
        "not_finite" => "Stopped, because the loss was no longer finite, after",
        _ => "After",
    };
    let spent = format!(
        "{} tokens, {}",
        non_breaking(format_count(report.tokens as f64)),
        non_breaking(format_duration(report.seconds))
    );
    format!("{start} {} ({spent}) {}.", format_steps(report), describe_loss(report))
}

fn describe_loss(report: &Report) -> String {
    let of = if report.is_pseudo { " of masked tokens" } else { "" };
    let Some(loss) = finite_value(report.validation_loss) else {
        return match finite_value(report.train_loss) {
            Some(loss) => format!("training loss{of} is {loss:.2} nats a token; validation has not run"),
            None => "no loss has been measured".into(),
        };
    };
    let beside = floor_comparison(report).or_else(|| compressor_comparison(report)).unwrap_or_default();
    format!("validation loss{of} is {loss:.2} nats a token{beside}")
}

/// Share by which the loss of validation is above the floor; negative below it.
fn share_above_floor(report: &Report) -> Option<f64> {
    finite_value(report.validation_loss)
        .zip(finite_value(report.floor).filter(|f| *f > 0.0))
        .map(|(loss, floor)| loss / floor - 1.0)
}

fn floor_comparison(report: &Report) -> Option<String> {
    let (above, floor) = share_above_floor(report).zip(report.floor)?;
    let side = if above < 0.0 { "below" } else { "above" };
    Some(format!(", {} {side} the generator's own {floor:.2}", non_breaking(format_percent(above.abs()))))
}

fn compressor_comparison(report: &Report) -> Option<String> {
    let bits = finite_value(report.bits_per_byte)?;
    let named = report.compression.as_ref().map(compressor_results).unwrap_or_default();
    let best = named.into_iter().min_by(|a, b| a.1.total_cmp(&b.1));
    let beside = best.map(|(name, best)| format!(" where {name} needs {best:.2}")).unwrap_or_default();
    Some(format!(", {bits:.2} bits a byte{beside}"))
}

fn compressor_results(of: &Compression) -> Vec<(&'static str, f64)> {
    let all = [("gzip", of.gzip), ("zstd", of.zstd), ("xz", of.xz)];
    all.into_iter().filter_map(|(name, value)| Some((name, finite_value(value)?))).collect()
}

fn compression_bars(of: &Compression) -> Option<CompressionBars> {
    let model = finite_value(of.model)?;
    let mut all = compressor_results(of);
    all.push(("this model", model));
    all.sort_by(|a, b| a.1.total_cmp(&b.1));
    let longest = all.last()?.1.max(f64::MIN_POSITIVE);
    let bars =
        all.into_iter().map(|(name, bits)| (name, format!("{bits:.2}"), (1000.0 * bits / longest).round() / 10.0));
    Some(CompressionBars { text_size: format_bytes(of.bytes as f64), bars: bars.collect() })
}

fn headline_metrics(report: &Report) -> Vec<HeadlineMetric> {
    let figure = |name, value: Option<String>, note: String| {
        value.map(|value| HeadlineMetric { name, value, description: note })
    };
    let loss = |value| finite_value(value).map(|v| format!("{v:.3}"));
    let floor = finite_value(report.floor).map(|floor| format!("of {floor:.3} nats a token")).unwrap_or_default();
    let speed = finite_value(report.tokens_per_second).map(|speed| format!("{} tokens a second", format_count(speed)));
    let share = share_above_floor(report).map(format_percent);
    let all = [
        figure("Validation loss", loss(report.validation_loss), "nats a token".into()),
        figure("Above the floor", share, floor),
        figure("Training loss", loss(report.train_loss), "nats a token".into()),
        figure("Bits a byte", loss(report.bits_per_byte), "of validation text".into()),
        figure("Accepted", finite_value(report.acceptance_rate).map(format_percent), "of sampled sentences".into()),
        figure("Parameters", (report.parameters > 0).then(|| format_count(report.parameters as f64)), String::new()),
        figure("Tokens", Some(format_count(report.tokens as f64)), format!("in {}", format_steps(report))),
        figure("Time", Some(format_duration(report.seconds)), speed.unwrap_or_default()),
    ];
    all.into_iter().flatten().collect()
}

fn checkpoint_row(of: &CheckpointEntry) -> (String, String, String, bool) {
    let loss = finite_value(of.validation_loss).map_or("–".into(), |loss| format!("{loss:.3}"));
    (format_count(of.step as f64), loss, format_bytes(of.bytes as f64), of.is_best)
}

fn event_rows(report: &Report) -> Vec<(String, String, String, String)> {
    let last = curves::events(&report.rows).count().saturating_sub(MAX_EVENTS);
    let shown = curves::events(&report.rows).skip(last);
    let view = |event: &super::metrics_rows::EventRow| {
        let time = event.seconds.map(format_duration).unwrap_or_default();
        (format_count(event.step as f64), event.event.replace('_', " "), event.detail.clone().unwrap_or_default(), time)
    };
    shown.map(view).collect()
}
