//! `kiln compare RUN…`: several runs in one table, one chart and one HTML page.
//!
//! ```console
//! kiln compare runs/stories runs/window --out compare.html
//! kiln compare runs/rotary runs/alibi --sequence-length 256 --sequence-length 512
//! ```
//!
//! The tables show validation loss, time and sizes, and the recipe keys that differ between the runs. With
//! `--sequence-length` each run is evaluated again on its own validation text, which shows how well its position encoding
//! extrapolates to sequences longer than in training. Without it, only the files of the run folders are read.
//!
//! Runs that differ in the seed only are one group, with mean and standard deviation.
//!
//! JSON: `{"runs":[{"run","differs":{key:value},"validation_loss","bits_per_byte","seconds","tokens_per_second","parameters",
//! "metrics":{name:{"value","unit","better"}},"lengths":[{"length","loss"}]}],
//! "seed_groups":[{"runs","mean","standard_deviation"}]}`; `metrics` only for objectives that have some, `lengths` only with
//! `--sequence-length`, `seed_groups` only the groups of several runs, with validation losses in nats.

use super::{
    ascii_chart::{Curve, draw_curves},
    config_diff::config_diff,
    device_args::DeviceArgs,
    error::CliError,
    evaluator::{EvalText, Evaluator},
    metrics_summary::MetricsSummary,
    objective_metrics::{loss_unit, metric_result},
    out_path,
    output::{CommandOutput, print_message},
    run_report,
    table::format_table,
};
use crate::page::{
    self, ComparedRun, Comparison,
    compare_metrics::metric_table,
    loss_units_label,
    number_format::{format_count, format_duration},
    seed_groups::{SeedGroup, seed_groups},
    tokens_per_second,
};
use burn::{module::Module, tensor::Device};
use kiln_kernels::exact::Arithmetic;
use kiln_models::WeightPrecision;
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

/// Characters of the curves, by run.
const CURVE_SYMBOLS: [char; 8] = ['●', '○', '+', 'x', '*', '#', '%', '@'];

/// Arguments of `kiln compare`.
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

/// A run as read from its folder.
struct RunData {
    path: PathBuf,
    summary: MetricsSummary,
    /// Training tokens and validation loss of each evaluation.
    losses: Vec<(f64, f64)>,
    recipe: toml::Table,
    rows: Vec<page::Row>,
    parameters: u64,
    /// What the loss is averaged over; empty for tokens.
    loss_unit: &'static str,
    /// Sequence length and validation loss at that length.
    loss_by_length: Vec<(usize, f64)>,
}

/// Recipe keys that differ, with the value in each run.
type ConfigDiff = BTreeMap<String, Vec<String>>;

/// Reads the runs, writes the page and prints the tables.
///
/// Fails before it writes anything if one of the runs cannot be read.
pub fn run(args: &Args) -> Result<CommandOutput, CliError> {
    out_path::check_page(&args.out)?;
    let mut data = args.runs.iter().map(|path| RunData::open(path)).collect::<Result<Vec<_>, _>>()?;
    let device = args.device.open()?;
    for run in data.iter_mut().filter(|_| !args.sequence_lengths.is_empty()) {
        run.loss_by_length = loss_by_length(&run.path, &args.sequence_lengths, &device)?;
    }
    let mut diff = config_diff(&data.iter().map(|run| &run.recipe).collect::<Vec<_>>());
    // The names always differ.
    diff.remove("name");
    let runs: Vec<ComparedRun> =
        data.iter().enumerate().map(|(index, run)| run.to_compared_run(index, &diff)).collect();
    let json: Vec<Value> = data.iter().zip(&runs).map(|(data, run)| data.to_json(run)).collect();
    let groups: Vec<SeedGroup> = seed_groups(&runs).into_iter().filter(|group| group.members.len() > 1).collect();
    let groups_json: Vec<Value> = groups.iter().filter_map(|group| group_json(group, &runs)).collect();
    let text = comparison_text(&data, &runs, &groups, &diff);
    write_atomic(&args.out, page::render_comparison(&Comparison { runs }).as_bytes())?;
    print_message(&format!("page: {}", args.out.display()));
    Ok(CommandOutput::new(json!({ "runs": json, "seed_groups": groups_json }), text))
}

/// Mean and standard deviation of the validation loss of a group. `None` if no run has one.
fn group_json(group: &SeedGroup, runs: &[ComparedRun]) -> Option<Value> {
    let loss = group.mean_spread(runs, |run| run.validation_loss)?;
    let names: Vec<&str> = group.members.iter().map(|index| runs[*index].name.as_str()).collect();
    Some(json!({ "runs": names, "mean": loss.mean, "standard_deviation": loss.standard_deviation }))
}

impl RunData {
    /// Reads recipe, metrics and model size of the run at `path`. A run that is still training can be read too.
    fn open(path: &Path) -> Result<Self, CliError> {
        let paths = RunPaths::open(path)?;
        let recipe = run::load_recipe(&paths)?;
        let rows = run::load_metrics(&paths)?;
        let model = run_report::outline_model(&paths, &recipe)?;
        let losses = rows.iter().filter_map(|row| match row {
            MetricsRow::Validation(row) => Some((row.tokens as f64, row.loss)),
            _ => None,
        });
        let table = toml::from_str(&recipe.to_toml()).map_err(|error| CliError::failed("recipe", error.to_string()))?;
        Ok(Self {
            path: path.to_owned(),
            summary: MetricsSummary::from_rows(&rows),
            losses: losses.collect(),
            recipe: table,
            rows: run_report::page_rows(&paths)?,
            parameters: model.map_or(0, |model| model.num_params() as u64),
            loss_unit: recipe.stages.last().map_or("", loss_unit),
            loss_by_length: Vec::new(),
        })
    }

    /// The run as the page shows it; `index` is its position in `diff`.
    fn to_compared_run(&self, index: usize, diff: &ConfigDiff) -> ComparedRun {
        ComparedRun {
            name: run_report::run_name(&self.path),
            config_diff: diff.iter().map(|(key, values)| (key.clone(), values[index].clone())).collect(),
            validation_loss: self.summary.validation_loss(),
            loss_unit: self.loss_unit.into(),
            metrics: self
                .summary
                .metrics()
                .iter()
                .map(|(name, metric)| (name.clone(), metric_result(metric)))
                .collect(),
            bits_per_byte: self.summary.last_validation.as_ref().map(|row| row.bits_per_byte),
            floor: self.summary.floor(),
            seconds: self.summary.seconds(),
            parameters: self.parameters,
            tokens: self.summary.tokens(),
            rows: self.rows.clone(),
            loss_by_length: self.loss_by_length.clone(),
        }
    }

    /// The entry of the run in the JSON result.
    fn to_json(&self, run: &ComparedRun) -> Value {
        let mut json = json!({
            "run": self.path.display().to_string(),
            "differs": run.config_diff,
            "validation_loss": run.validation_loss,
            "bits_per_byte": run.bits_per_byte,
            "seconds": run.seconds,
            "tokens_per_second": tokens_per_second(run),
            "parameters": run.parameters,
        });
        if !run.metrics.is_empty() {
            json["metrics"] = json!(run.metrics);
        }
        if !self.loss_by_length.is_empty() {
            let lengths = self.loss_by_length.iter().map(|(length, loss)| json!({ "length": length, "loss": loss }));
            json["lengths"] = lengths.collect();
        }
        json
    }
}

/// Validation loss of a run at each sequence length, shortest first.
///
/// Takes as long as one evaluation per length.
fn loss_by_length(path: &Path, lengths: &[usize], device: &Device) -> Result<Vec<(usize, f64)>, CliError> {
    let (source, precision) = (super::model_args::model_source(path)?, WeightPrecision::default_on(device));
    let evaluator = Evaluator::open(source, EvalText::EvalSet, device, precision)?;
    let mut lengths = lengths.to_vec();
    lengths.sort_unstable();
    lengths.dedup();
    let mut losses = Vec::new();
    for length in lengths {
        print_message(&format!("sequence length {length} (training: {})", evaluator.trained_sequence_length()));
        let measurement =
            evaluator.evaluate(&evaluator.eval_set(length)?, &*evaluator.objective(), Arithmetic::Fast)?;
        losses.push((length, measurement.evaluation.loss));
    }
    Ok(losses)
}

/// The tables and the chart of the terminal.
///
/// The tables, then the validation losses over training tokens. Tables without rows are left out.
fn comparison_text(data: &[RunData], runs: &[ComparedRun], groups: &[SeedGroup], diff: &ConfigDiff) -> String {
    let mut parts = vec![metrics_table(runs)];
    parts.extend(objective_table(runs));
    parts.extend(group_table(runs, groups));
    parts.extend(diff_table(runs, diff));
    parts.extend(length_table(runs));
    let symbols = CURVE_SYMBOLS.iter().cycle();
    let curves: Vec<Curve> =
        data.iter().zip(symbols).map(|(run, symbol)| Curve { symbol: *symbol, points: run.losses.clone() }).collect();
    let chart = draw_curves(&curves, 72, 12);
    parts.extend(
        chart.map(|chart| {
            format!("{chart}\n         validation loss in {}, over training tokens", loss_units_label(runs))
        }),
    );
    parts.join("\n\n")
}

/// One line per run: its metrics and sizes. The time is wall time.
fn metrics_table(runs: &[ComparedRun]) -> String {
    let head = ["", "run", "loss", "bits/byte", "floor", "wall time", "tokens/s", "params", "tokens"];
    let lines = runs.iter().zip(CURVE_SYMBOLS.iter().cycle()).map(|(run, symbol)| {
        vec![
            symbol.to_string(),
            run.name.clone(),
            format_loss(run.validation_loss),
            format_loss(run.bits_per_byte),
            format_loss(run.floor),
            format_duration(run.seconds),
            tokens_per_second(run).map_or("–".into(), |speed| format_count(speed.round())),
            format_count(run.parameters as f64),
            format_count(run.tokens as f64),
        ]
    });
    format_table(&head, &lines.collect::<Vec<_>>(), &[2, 3, 4, 5, 6, 7, 8])
}

/// One line per setting: the metrics of its objective in the last evaluation, the best of each column with a star. `None`
/// without metrics.
fn objective_table(runs: &[ComparedRun]) -> Option<String> {
    let table = metric_table(runs, &seed_groups(runs));
    let mut head = vec![String::new()];
    head.extend(table.columns.iter().map(|column| column.name.clone()));
    let directions = std::iter::once(String::new()).chain(table.columns.iter().map(|column| column.better.to_string()));
    let rows = table.rows.iter().map(|row| {
        let cells = row.cells.iter().map(|(text, is_best)| format!("{text}{}", if *is_best { " *" } else { "  " }));
        std::iter::once(row.name.clone()).chain(cells).collect()
    });
    let lines: Vec<Vec<String>> = std::iter::once(directions.collect()).chain(rows).collect();
    let head: Vec<&str> = head.iter().map(String::as_str).collect();
    let right: Vec<usize> = (1..head.len()).collect();
    (!table.columns.is_empty()).then(|| format_table(&head, &lines, &right))
}

/// One line per group of runs that differ in the seed only. `None` without such a group.
fn group_table(runs: &[ComparedRun], groups: &[SeedGroup]) -> Option<String> {
    let mut rows = Vec::new();
    for group in groups {
        let loss = group.mean_spread(runs, |run| run.validation_loss).map_or("–".into(), |loss| loss.format());
        let symbols: String = group.members.iter().map(|run| CURVE_SYMBOLS[run % CURVE_SYMBOLS.len()]).collect();
        rows.push(vec![symbols, group.members.len().to_string(), loss.replace('\u{a0}', " ")]);
    }
    let head = ["runs", "seeds", "loss, mean ± standard deviation"];
    (!rows.is_empty()).then(|| format_table(&head, &rows, &[1]))
}

/// Three decimals, or a dash.
fn format_loss(loss: Option<f64>) -> String {
    loss.map_or("–".into(), |loss| format!("{loss:.3}"))
}

/// One line per recipe key that differs.
///
/// `None` if all recipes are equal.
fn diff_table(runs: &[ComparedRun], diff: &ConfigDiff) -> Option<String> {
    if diff.is_empty() {
        return None;
    }
    let head: Vec<&str> = ["recipe key"].into_iter().chain(runs.iter().map(|run| run.name.as_str())).collect();
    let lines: Vec<Vec<String>> =
        diff.iter().map(|(key, values)| [std::slice::from_ref(key), &values[..]].concat()).collect();
    Some(format_table(&head, &lines, &[]))
}

/// One line per run: its loss at each sequence length.
///
/// `None` without `--sequence-length`.
fn length_table(runs: &[ComparedRun]) -> Option<String> {
    let lengths = &runs.first()?.loss_by_length;
    if lengths.is_empty() {
        return None;
    }
    let mut head = vec!["sequence length".to_string()];
    head.extend(lengths.iter().map(|(length, _)| length.to_string()));
    let lines = runs.iter().map(|run| {
        let losses = run.loss_by_length.iter().map(|(_, loss)| format!("{loss:.3}"));
        std::iter::once(run.name.clone()).chain(losses).collect()
    });
    let head: Vec<&str> = head.iter().map(String::as_str).collect();
    Some(format_table(&head, &lines.collect::<Vec<_>>(), &(1..head.len()).collect::<Vec<_>>()))
}
