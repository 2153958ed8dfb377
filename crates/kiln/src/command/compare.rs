//! `compare`: runs beside each other.

use super::{
    ascii_chart::{Curve, draw_curves},
    config_diff::config_diff,
    device_args::DeviceArgs,
    error::CliError,
    evaluator::Evaluator,
    metrics_summary::MetricsSummary,
    output::{CommandOutput, print_message},
    run_report,
    table::format_table,
};
use crate::page::{
    self, ComparedRun, Comparison,
    number_format::{format_count, format_duration},
};
use burn::{module::Module, tensor::Device};
use kiln_train::{
    metrics::MetricsRow,
    run,
    run_folder::{RunPaths, write_atomic},
};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

const CURVE_SYMBOLS: [char; 8] = ['●', '○', '+', 'x', '*', '#', '%', '@'];

/// Arguments of `compare`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Run folders.
    #[arg(required = true, num_args = 1..)]
    runs: Vec<PathBuf>,
    /// Output HTML page.
    #[arg(long, value_name = "FILE", default_value = "compare.html")]
    out: PathBuf,
    /// Also evaluate each run at this sequence length, on its validation text (length extrapolation). May be repeated.
    #[arg(long = "sequence-length", alias = "length", value_name = "N", value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(2..=1 << 24))]
    sequence_lengths: Vec<usize>,
    #[command(flatten)]
    device: DeviceArgs,
}

/// One run as it is read.
struct RunData {
    path: PathBuf,
    history: MetricsSummary,
    losses: Vec<(f64, f64)>,
    recipe: toml::Table,
    rows: Vec<page::Row>,
    parameters: u64,
    /// Rows of so many tokens, and the loss there.
    loss_by_length: Vec<(usize, f64)>,
}

/// Compares.
pub fn run(args: &Args) -> Result<CommandOutput, CliError> {
    let mut read = args.runs.iter().map(|path| RunData::open(path)).collect::<Result<Vec<_>, _>>()?;
    let device = args.device.open()?;
    for run in read.iter_mut().filter(|_| !args.sequence_lengths.is_empty()) {
        run.loss_by_length = loss_by_length(&run.path, &args.sequence_lengths, &device)?;
    }
    let mut differing = config_diff(&read.iter().map(|run| &run.recipe).collect::<Vec<_>>());
    // Every run has a name of its own.
    differing.remove("name");
    let runs: Vec<ComparedRun> = read.iter().enumerate().map(|(at, run)| run.to_compared_run(at, &differing)).collect();
    let json: Vec<Value> = read.iter().zip(&runs).map(|(read, run)| read.to_json(run)).collect();
    let text = comparison_text(&read, &runs, &differing);
    write_atomic(&args.out, page::render_comparison(&Comparison { runs }).as_bytes())?;
    print_message(&format!("page in {}", args.out.display()));
    Ok(CommandOutput::new(json!({ "runs": json }), text))
}

impl RunData {
    fn open(path: &Path) -> Result<Self, CliError> {
        let paths = RunPaths::open(path)?;
        let recipe = run::load_recipe(&paths)?;
        let rows = run::load_metrics(&paths)?;
        let model = run_report::outline_model(&paths, &recipe)?;
        let loss = |row: &MetricsRow| {
            if let MetricsRow::Validation(row) = row { Some((row.tokens as f64, row.loss)) } else { None }
        };
        let table = toml::from_str(&recipe.to_toml()).map_err(|error| CliError::failed("recipe", error.to_string()))?;
        Ok(Self {
            path: path.to_owned(),
            history: MetricsSummary::from_rows(&rows),
            losses: rows.iter().filter_map(loss).collect(),
            recipe: table,
            rows: run_report::page_rows(&paths)?,
            parameters: model.map_or(0, |model| model.num_params() as u64),
            loss_by_length: Vec::new(),
        })
    }

    fn to_compared_run(&self, at: usize, differing: &BTreeMap<String, Vec<String>>) -> ComparedRun {
        ComparedRun {
            name: run_report::run_name(&self.path),
            config_diff: differing.iter().map(|(key, values)| (key.clone(), values[at].clone())).collect(),
            validation_loss: self.history.validation_loss(),
            floor: self.history.floor(),
            seconds: self.history.seconds(),
            parameters: self.parameters,
            tokens: self.history.tokens(),
            rows: self.rows.clone(),
            loss_by_length: self.loss_by_length.clone(),
        }
    }

    fn to_json(&self, run: &ComparedRun) -> Value {
        let mut json = json!({
            "run": self.path.display().to_string(),
            "differs": run.config_diff,
            "validation_loss": run.validation_loss,
            "seconds": run.seconds,
            "parameters": run.parameters,
        });
        if !self.loss_by_length.is_empty() {
            let pair = |(length, loss): &(usize, f64)| json!({ "length": length, "loss": loss });
            json["lengths"] = self.loss_by_length.iter().map(pair).collect();
        }
        json
    }
}

/// The loss of a run's held-out text in rows of each length.
fn loss_by_length(path: &Path, lengths: &[usize], device: &Device) -> Result<Vec<(usize, f64)>, CliError> {
    let bench = Evaluator::open(super::model_args::model_source(path)?, None, device)?;
    let mut lengths = lengths.to_vec();
    lengths.sort_unstable();
    lengths.dedup();
    let loss = |length| {
        print_message(&format!("rows of {length} tokens; trained on {}", bench.trained_sequence_length()));
        Ok((length, bench.evaluate(&bench.eval_set(length)?, &*bench.objective())?.evaluation.loss))
    };
    lengths.into_iter().map(loss).collect()
}

/// A line a run: its loss at each length.
fn length_table(runs: &[ComparedRun]) -> Option<String> {
    let lengths = &runs.first()?.loss_by_length;
    let head: Vec<String> = lengths.iter().map(|(length, _)| format!("at {length}")).collect();
    let head: Vec<&str> = ["tokens a row"].into_iter().chain(head.iter().map(String::as_str)).collect();
    let line = |run: &ComparedRun| {
        std::iter::once(run.name.clone())
            .chain(run.loss_by_length.iter().map(|(_, loss)| format!("{loss:.3}")))
            .collect()
    };
    let lines: Vec<Vec<String>> = runs.iter().map(line).collect();
    (!lengths.is_empty()).then(|| format_table(&head, &lines, &(1..head.len()).collect::<Vec<_>>()))
}

fn comparison_text(read: &[RunData], runs: &[ComparedRun], differing: &BTreeMap<String, Vec<String>>) -> String {
    let head: Vec<&str> = ["", "run", "held-out loss", "floor", "time", "parameters", "tokens"].to_vec();
    let number = |value: Option<f64>| value.map_or("–".to_string(), |value| format!("{value:.3}"));
    let row = |(at, run): (usize, &ComparedRun)| {
        let figures = [number(run.validation_loss), number(run.floor), format_duration(run.seconds)];
        let sizes = [format_count(run.parameters as f64), format_count(run.tokens as f64)];
        [vec![curve_symbol(at).to_string(), run.name.clone()], figures.to_vec(), sizes.to_vec()].concat()
    };
    let rows: Vec<Vec<String>> = runs.iter().enumerate().map(row).collect();
    let mut parts = vec![format_table(&head, &rows, &[2, 3, 4, 5, 6])];
    if !differing.is_empty() {
        let names: Vec<&str> = runs.iter().map(|run| run.name.as_str()).collect();
        let line = |(key, values): (&String, &Vec<String>)| [vec![key.clone()], values.clone()].concat();
        let lines: Vec<Vec<String>> = differing.iter().map(line).collect();
        parts.push(format_table(&[&["what differs"], &names[..]].concat(), &lines, &[]));
    }
    parts.extend(length_table(runs));
    let curves: Vec<Curve> = read
        .iter()
        .enumerate()
        .map(|(at, run)| Curve { symbol: curve_symbol(at), points: run.losses.clone() })
        .collect();
    parts.extend(
        draw_curves(&curves, 72, 12).map(|drawn| format!("{drawn}\n         held-out loss, nats a token over tokens")),
    );
    parts.join("\n\n")
}

fn curve_symbol(run: usize) -> char {
    CURVE_SYMBOLS[run % CURVE_SYMBOLS.len()]
}
