//! The page of one run.

use serde::Serialize;

use super::chart::Drawn;
use super::curves;
use super::data::{Checkpoint, Compression, Example, ExampleToken, Report};
use super::number::{bytes, count, duration, percent};
use super::picture::{self, ModelView, PatternView};
use super::texts::{self, Moment};

/// How many events are listed.
const EVENTS: usize = 100;

/// What the template shows.
#[derive(Serialize)]
pub struct View<'a> {
    name: &'a str,
    objective: &'a str,
    facts: &'a [(String, String)],
    sentence: String,
    figures: Vec<Figure>,
    /// In how many columns the figures stand on a wide screen.
    columns: usize,
    loss: Vec<(&'static str, Drawn)>,
    learned: Vec<Drawn>,
    training: Vec<Drawn>,
    compression: Option<Bars>,
    moments: Vec<Moment>,
    /// Whether a stretch of the texts is marked as not accepted.
    marked: bool,
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

fn example(of: &Example) -> ExampleView<'_> {
    ExampleView { title: &of.title, tokens: &of.tokens, pattern: of.pattern.as_ref().map(picture::draw) }
}

/// A number with its name above and its meaning below.
#[derive(Serialize)]
struct Figure {
    name: &'static str,
    value: String,
    note: String,
}

#[derive(Serialize)]
struct Bars {
    size: String,
    /// Name, bits a byte, share of the longest out of a hundred.
    bars: Vec<(&'static str, String, f64)>,
}

/// Gathers what the page of a run shows.
pub fn view(report: &Report) -> View<'_> {
    let loss = [("close-up", curves::View::Close), ("whole", curves::View::Whole), ("log–log", curves::View::Log)];
    let figures = figures(report);
    let moments = texts::moments(&report.rows);
    View {
        name: &report.name,
        objective: &report.objective,
        facts: &report.facts,
        sentence: sentence(report),
        columns: if figures.len().is_multiple_of(3) { 3 } else { 4 },
        figures,
        loss: loss
            .into_iter()
            .filter_map(|(name, view)| Some((name, curves::loss(&report.rows, report.floor, view)?)))
            .collect(),
        learned: [curves::accuracy(&report.rows), curves::accepted(&report.rows)].into_iter().flatten().collect(),
        training: curves::training(&report.rows),
        compression: report.compression.as_ref().and_then(bars),
        marked: moments.iter().any(Moment::marked),
        moments,
        model: picture::view(&report.model),
        examples: report.examples.iter().filter(|example| !example.tokens.is_empty()).map(example).collect(),
        checkpoints: report.checkpoints.iter().map(checkpoint).collect(),
        events: events(report),
        recipe: &report.recipe_toml,
        clock: curves::clock(&report.rows),
    }
}

fn finite(value: Option<f64>) -> Option<f64> {
    value.filter(|v| v.is_finite())
}

/// The number and its unit on one line.
fn tied(text: String) -> String {
    text.replace(' ', "\u{a0}")
}

fn steps(report: &Report) -> String {
    if report.steps == 1 { "1 step".into() } else { format!("{} steps", tied(count(report.steps as f64))) }
}

/// One sentence that says how the run ended: `After 720 steps (2.21 M tokens, 2 min 58 s) validation loss is 1.93 nats a token, 18 % above the generator's own 1.63.`
pub fn sentence(report: &Report) -> String {
    let last = curves::events(&report.rows).last().map_or("", |event| event.event.as_str());
    let start = match last {
        "interrupted" => "Interrupted after",
        "not_finite" => "Stopped, because the loss was no longer finite, after",
        _ => "After",
    };
    let spent = format!("{} tokens, {}", tied(count(report.tokens as f64)), tied(duration(report.seconds)));
    format!("{start} {} ({spent}) {}.", steps(report), result(report))
}

fn result(report: &Report) -> String {
    let of = if report.pseudo { " of masked tokens" } else { "" };
    let Some(loss) = finite(report.validation_loss) else {
        return match finite(report.train_loss) {
            Some(loss) => format!("training loss{of} is {loss:.2} nats a token; validation has not run"),
            None => "no loss has been measured".into(),
        };
    };
    let beside = beside_floor(report).or_else(|| beside_compressor(report)).unwrap_or_default();
    format!("validation loss{of} is {loss:.2} nats a token{beside}")
}

/// Share by which the loss of validation is above the floor; negative below it.
fn above(report: &Report) -> Option<f64> {
    finite(report.validation_loss)
        .zip(finite(report.floor).filter(|f| *f > 0.0))
        .map(|(loss, floor)| loss / floor - 1.0)
}

fn beside_floor(report: &Report) -> Option<String> {
    let (above, floor) = above(report).zip(report.floor)?;
    let side = if above < 0.0 { "below" } else { "above" };
    Some(format!(", {} {side} the generator's own {floor:.2}", tied(percent(above.abs()))))
}

fn beside_compressor(report: &Report) -> Option<String> {
    let bits = finite(report.bits_per_byte)?;
    let named = report.compression.as_ref().map(compressors).unwrap_or_default();
    let best = named.into_iter().min_by(|a, b| a.1.total_cmp(&b.1));
    let beside = best.map(|(name, best)| format!(" where {name} needs {best:.2}")).unwrap_or_default();
    Some(format!(", {bits:.2} bits a byte{beside}"))
}

fn compressors(of: &Compression) -> Vec<(&'static str, f64)> {
    let all = [("gzip", of.gzip), ("zstd", of.zstd), ("xz", of.xz)];
    all.into_iter().filter_map(|(name, value)| Some((name, finite(value)?))).collect()
}

fn bars(of: &Compression) -> Option<Bars> {
    let model = finite(of.model)?;
    let mut all = compressors(of);
    all.push(("this model", model));
    all.sort_by(|a, b| a.1.total_cmp(&b.1));
    let longest = all.last()?.1.max(f64::MIN_POSITIVE);
    let bars =
        all.into_iter().map(|(name, bits)| (name, format!("{bits:.2}"), (1000.0 * bits / longest).round() / 10.0));
    Some(Bars { size: bytes(of.bytes as f64), bars: bars.collect() })
}

fn figures(report: &Report) -> Vec<Figure> {
    let figure = |name, value: Option<String>, note: String| value.map(|value| Figure { name, value, note });
    let loss = |value| finite(value).map(|v| format!("{v:.3}"));
    let floor = finite(report.floor).map(|floor| format!("of {floor:.3} nats a token")).unwrap_or_default();
    let speed = finite(report.tokens_per_second).map(|speed| format!("{} tokens a second", count(speed)));
    let share = above(report).map(percent);
    let all = [
        figure("Validation loss", loss(report.validation_loss), "nats a token".into()),
        figure("Above the floor", share, floor),
        figure("Training loss", loss(report.train_loss), "nats a token".into()),
        figure("Bits a byte", loss(report.bits_per_byte), "of validation text".into()),
        figure("Accepted", finite(report.accepted).map(percent), "of sampled sentences".into()),
        figure("Parameters", (report.parameters > 0).then(|| count(report.parameters as f64)), String::new()),
        figure("Tokens", Some(count(report.tokens as f64)), format!("in {}", steps(report))),
        figure("Time", Some(duration(report.seconds)), speed.unwrap_or_default()),
    ];
    all.into_iter().flatten().collect()
}

fn checkpoint(of: &Checkpoint) -> (String, String, String, bool) {
    let loss = finite(of.validation_loss).map_or("–".into(), |loss| format!("{loss:.3}"));
    (count(of.step as f64), loss, bytes(of.bytes as f64), of.best)
}

fn events(report: &Report) -> Vec<(String, String, String, String)> {
    let last = curves::events(&report.rows).count().saturating_sub(EVENTS);
    let shown = curves::events(&report.rows).skip(last);
    let view = |event: &super::rows::EventRow| {
        let time = event.seconds.map(duration).unwrap_or_default();
        (count(event.step as f64), event.event.replace('_', " "), event.detail.clone().unwrap_or_default(), time)
    };
    shown.map(view).collect()
}
