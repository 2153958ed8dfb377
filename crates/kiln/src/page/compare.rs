//! The page that puts runs beside each other.

use std::collections::BTreeSet;

use serde::Serialize;

use super::chart::{Axis, Chart, ChartView, LineStyle, Series};
use super::curves::{self, horizontal_line, zoomed_range};
use super::data::{ComparedRun, Comparison};
use super::downsample::smooth;
use super::labels::Dot;
use super::metrics_rows::{StepRow, ValidationRow};
use super::number_format::{Unit, format_count, format_duration};

/// What the template shows.
#[derive(Serialize)]
pub struct View {
    summary: String,
    names: Vec<String>,
    /// A key of the recipe and its value in each run.
    config_diff: Vec<(String, Vec<Option<String>>)>,
    curves: Vec<(&'static str, ChartView)>,
    cost_chart: Option<ChartView>,
    length_chart: Option<ChartView>,
    final_metrics: Vec<FinalMetrics>,
}

/// The figures of a run at its end.
#[derive(Serialize)]
struct FinalMetrics {
    name: String,
    color: usize,
    loss: String,
    /// Nats above the best run.
    loss_gap: String,
    time: String,
    parameters: String,
    tokens: String,
    is_best: bool,
}

/// Gathers what the page shows.
pub fn view(compare: &Comparison) -> View {
    let keys: BTreeSet<&String> = compare.runs.iter().flat_map(|run| run.config_diff.keys()).collect();
    let values = |key: &String| compare.runs.iter().map(|run| run.config_diff.get(key).cloned()).collect();
    let axes = [("by step", XAxis::Steps), ("by tokens", XAxis::Tokens), ("by time", XAxis::Time)];
    View {
        summary: summary(&compare.runs),
        names: compare.runs.iter().map(|run| run.name.clone()).collect(),
        config_diff: keys.into_iter().map(|key| (key.clone(), values(key))).collect(),
        curves: axes
            .into_iter()
            .filter_map(|(name, across)| Some((name, loss_chart(&compare.runs, across)?)))
            .collect(),
        cost_chart: cost_chart(&compare.runs),
        length_chart: length_chart(&compare.runs),
        final_metrics: final_metrics(&compare.runs),
    }
}

fn finite_loss(run: &ComparedRun) -> Option<f64> {
    run.validation_loss.filter(|loss| loss.is_finite())
}

/// The runs that have a loss, the lowest first, with their numbers.
fn rank_by_loss(runs: &[ComparedRun]) -> Vec<(usize, &ComparedRun, f64)> {
    let mut ranked: Vec<_> =
        runs.iter().enumerate().filter_map(|(nth, run)| Some((nth, run, finite_loss(run)?))).collect();
    ranked.sort_by(|a, b| a.2.total_cmp(&b.2));
    ranked
}

fn summary(runs: &[ComparedRun]) -> String {
    let ranked = rank_by_loss(runs);
    let Some((_, best, lowest)) = ranked.first() else {
        return format!("None of the {} runs has been validated yet.", runs.len());
    };
    let lead = format!(
        "{} has the lowest validation loss, {lowest:.3} nats a token, after {}",
        best.name,
        format_duration(best.seconds)
    );
    let fastest =
        ranked.iter().min_by(|a, b| a.1.seconds.total_cmp(&b.1.seconds)).filter(|other| other.1.seconds < best.seconds);
    match fastest {
        Some((_, run, loss)) => {
            format!(
                "{lead}; {} took least time, {}, and ends {:.3} above.",
                run.name,
                format_duration(run.seconds),
                loss - lowest
            )
        }
        None => format!("{lead}."),
    }
}

#[derive(Clone, Copy)]
enum XAxis {
    Steps,
    Tokens,
    Time,
}

impl XAxis {
    fn step_x(self, row: &StepRow) -> Option<f64> {
        self.select(row.step, row.tokens, row.seconds)
    }

    fn validation_x(self, row: &ValidationRow) -> Option<f64> {
        self.select(row.step, row.tokens, row.seconds)
    }

    fn select(self, step: u64, tokens: u64, seconds: Option<f64>) -> Option<f64> {
        match self {
            Self::Steps => Some(step as f64),
            Self::Tokens => Some(tokens as f64),
            Self::Time => seconds.filter(|time| time.is_finite()),
        }
    }

    fn axis(self) -> Axis {
        let (label, unit) = match self {
            Self::Steps => ("step", Unit::Count),
            Self::Tokens => ("tokens", Unit::Count),
            Self::Time => ("time", Unit::Seconds),
        };
        Axis { label: label.into(), unit, ..Axis::default() }
    }
}

fn loss_chart(runs: &[ComparedRun], across: XAxis) -> Option<ChartView> {
    let value = |loss: Option<f64>| loss.unwrap_or(f64::NAN);
    let training = runs.iter().enumerate().map(|(colour, run)| {
        let raw: Vec<_> =
            curves::steps(&run.rows).filter_map(|row| Some((across.step_x(row)?, value(row.loss)))).collect();
        Series { color: colour, style: LineStyle::Faint, points: smooth(&raw), ..Series::default() }
    });
    let validation = runs.iter().enumerate().map(|(colour, run)| {
        let points = curves::validations(&run.rows)
            .filter_map(|row| Some((across.validation_x(row)?, value(row.loss))))
            .collect();
        Series { name: run.name.clone(), color: colour, points, ..Series::default() }
    });
    let mut series: Vec<Series> = training.chain(validation).collect();
    series.extend(shared_floor(runs).and_then(|floor| horizontal_line("floor", floor, &series)));
    let y = Axis { label: "nats a token".into(), unit: Unit::Loss, range: zoomed_range(&series), ..Axis::default() };
    Chart { title: "Loss".into(), height: 380.0, x: across.axis(), y, series, ..Chart::default() }.draw()
}

/// The floor, if it is that of every run.
fn shared_floor(runs: &[ComparedRun]) -> Option<f64> {
    let first = runs.first()?.floor.filter(|floor| floor.is_finite())?;
    runs.iter().all(|run| run.floor.is_some_and(|floor| (floor - first).abs() < 1e-3)).then_some(first)
}

/// Time beside loss, the area of a point standing for the parameters.
fn cost_chart(runs: &[ComparedRun]) -> Option<ChartView> {
    let most = runs.iter().map(|run| run.parameters).max()?.max(1) as f64;
    let dots = rank_by_loss(runs).into_iter().map(|(colour, run, loss)| Dot {
        x: run.seconds,
        y: loss,
        width: (26.0 * (run.parameters as f64 / most).sqrt()).round().max(8.0),
        name: run.name.clone(),
        title: format!(
            "{}: {loss:.3} nats a token, {}, {} parameters",
            run.name,
            format_duration(run.seconds),
            format_count(run.parameters as f64)
        ),
        color: colour,
    });
    let y = Axis { label: "validation loss".into(), unit: Unit::Plain, ..Axis::default() };
    let x = Axis { label: "time".into(), unit: Unit::Seconds, ..Axis::default() };
    let note = "lower and further left is better; a point is as large as the model".into();
    Chart { title: "Cost and quality".into(), note, height: 320.0, x, y, dots: dots.collect(), ..Chart::default() }
        .draw()
}

/// Loss by the length of the rows that a model is measured on.
fn length_chart(runs: &[ComparedRun]) -> Option<ChartView> {
    let series = runs.iter().enumerate().map(|(colour, run)| {
        let points = run.loss_by_length.iter().map(|(length, loss)| (*length as f64, *loss)).collect();
        Series { name: run.name.clone(), color: colour, points, ..Series::default() }
    });
    let series: Vec<Series> = series.filter(|series| !series.points.is_empty()).collect();
    if series.is_empty() {
        return None;
    }
    let x = Axis { label: "tokens".into(), unit: Unit::Count, ..Axis::default() };
    let y = Axis { label: "nats a token".into(), unit: Unit::Loss, ..Axis::default() };
    let note = "held-out text in rows of more tokens than a model was trained on: what its positions make of it".into();
    Chart { title: "Longer than trained".into(), note, height: 340.0, x, y, series, ..Chart::default() }.draw()
}

fn final_metrics(runs: &[ComparedRun]) -> Vec<FinalMetrics> {
    let ranked = rank_by_loss(runs);
    let lowest = ranked.first().map(|best| best.2);
    let without =
        runs.iter().enumerate().filter(|(_, run)| finite_loss(run).is_none()).map(|(nth, run)| (nth, run, f64::NAN));
    let view = |(nth, run, loss): (usize, &ComparedRun, f64)| FinalMetrics {
        name: run.name.clone(),
        color: nth,
        loss: if loss.is_finite() { format!("{loss:.3}") } else { "–".into() },
        loss_gap: lowest.map(|best| loss - best).filter(|d| *d > 0.0).map(|d| format!("+{d:.3}")).unwrap_or_default(),
        time: format_duration(run.seconds),
        parameters: format_count(run.parameters as f64),
        tokens: format_count(run.tokens as f64),
        is_best: Some(loss) == lowest,
    };
    ranked.iter().copied().chain(without).map(view).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(name: &str, validation_loss: Option<f64>, seconds: f64) -> ComparedRun {
        ComparedRun { name: name.into(), validation_loss, seconds, ..ComparedRun::default() }
    }

    #[test]
    fn the_sentence_names_the_best_and_the_fastest() {
        let runs = [run("a", Some(1.70), 60.0), run("b", Some(1.65), 90.0), run("c", None, 5.0)];
        let both = "b has the lowest validation loss, 1.650 nats a token, after 1 min 30 s; a took least time, 1 min, and ends 0.050 above.";
        assert_eq!(summary(&runs), both);
        assert_eq!(summary(&runs[1..]), "b has the lowest validation loss, 1.650 nats a token, after 1 min 30 s.");
        assert_eq!(summary(&[run("c", Some(f64::NAN), 1.0)]), "None of the 1 runs has been validated yet.");
    }

    #[test]
    fn runs_without_a_loss_come_last() {
        let runs = [run("c", None, 5.0), run("a", Some(1.70), 60.0), run("b", Some(1.65), 90.0)];
        let rows: Vec<_> = final_metrics(&runs).into_iter().map(|f| (f.name, f.loss, f.loss_gap, f.is_best)).collect();
        let row =
            |name: &str, loss: &str, behind: &str, best| (name.to_string(), loss.to_string(), behind.to_string(), best);
        assert_eq!(rows, [row("b", "1.650", "", true), row("a", "1.700", "+0.050", false), row("c", "–", "", false)]);
    }
}
