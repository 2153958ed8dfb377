//! `kiln eval MODEL`: loss, perplexity, bits per byte and accuracy on validation text or on given text.
//!
//! ```console
//! kiln eval runs/stories
//! kiln eval models/smollm2/SmolLM2-135M-Instruct.Q4_1.gguf --data texts/ --sequence-length 1024
//! ```
//!
//! A run is evaluated with the objective of its last stage, on the text of its own evaluations, so that a checkpoint has the
//! same loss here and in the run; another model with next-token prediction, or with masked language
//! modeling if its attention is bidirectional. The perplexity of a masked model is a pseudo-perplexity and not comparable with
//! that of a causal one.
//!
//! JSON: `{"loss","perplexity","bits_per_byte","accuracy","tokens","bytes","kind","modes"}`; loss in nats per token; `kind` is
//! the kind of perplexity, `causal` (exact) or `pseudo`; `modes` has the same figures for each mode of the objective `unified`.
//! An objective with metrics of its own adds `"objective"` and `"metrics":{name:{"value","unit","better"}}`. An objective
//! whose loss is not one of tokens has these two only, with its loss among the metrics.

use super::{
    device_args::{ArithmeticArgs, DeviceArgs, DtypeArgs},
    error::CliError,
    evaluator::{EvalText, Evaluator, Measurement},
    metrics_text,
    model_args::ModelArgs,
    objective_metrics::in_order,
    output::CommandOutput,
    table::format_pairs,
};
use crate::page::number_format::{format_bytes, format_count, format_percent, loss_label};
use kiln_data::FilesConfig;
use kiln_train::objective::{Better, LossUnit, MetricValue};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Arguments of `kiln eval`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    model: ModelArgs,
    /// Text file or folder to evaluate on; all of it is used (no validation split). Default: the evaluation set of the
    /// run, the same validation text as in its own evaluations. May be repeated.
    #[arg(long, value_name = "PATH")]
    data: Vec<String>,
    /// Field of JSON rows, or column of a CSV, TSV or Parquet file, that holds the text (default: text).
    #[arg(long, value_name = "NAME", requires = "data")]
    field: Option<String>,
    /// Evaluate on all validation text of the run, not only on its evaluation set.
    #[arg(long, conflicts_with = "data")]
    all: bool,
    /// Leave out rows of --data without valid text instead of ending with an error. They are counted, and the first are
    /// shown.
    #[arg(long, requires = "data")]
    skip_bad_rows: bool,
    /// Sequence length in tokens: the longest context (default: as in training).
    #[arg(long, alias = "length", value_name = "N", value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(2..=1 << 24))]
    sequence_length: Option<usize>,
    #[command(flatten)]
    device: DeviceArgs,
    #[command(flatten)]
    dtype: DtypeArgs,
    #[command(flatten)]
    arithmetic: ArithmeticArgs,
}

/// Evaluates the model with its objective, and with each component of the objective.
///
/// The evaluation reads every token of the text once.
pub fn run(args: &Args) -> Result<CommandOutput, CliError> {
    let arithmetic = args.arithmetic.arithmetic(&args.device)?;
    let device = args.device.open()?;
    let evaluator = Evaluator::open(args.model.source()?, args.text(), &device, args.dtype.precision(&device)?)?;
    let eval_set = evaluator.eval_set(args.sequence_length.unwrap_or(evaluator.trained_sequence_length()))?;
    let objective = evaluator.objective();
    let mut components = Vec::new();
    for (name, component) in objective.components() {
        components.push((name, evaluator.evaluate(&eval_set, &*component, arithmetic)?));
    }
    Ok(command_output(&evaluator.evaluate(&eval_set, &*objective, arithmetic)?, &components))
}

impl Measurement {
    /// The result as JSON, in nats per token and bits per byte.
    fn to_json(&self) -> Value {
        let mut result = if self.unit == LossUnit::Token { self.token_json() } else { json!({}) };
        let metrics = self.all_metrics();
        if !metrics.is_empty() {
            result["objective"] = json!(self.objective);
            result["metrics"] = json!(metrics);
        }
        result
    }

    /// The metrics of the objective; for one whose loss is not one of tokens, its loss too.
    fn all_metrics(&self) -> BTreeMap<String, MetricValue> {
        let mut metrics = self.evaluation.metrics.clone();
        if self.unit != LossUnit::Token {
            let unit = loss_label(self.unit.name());
            let loss = MetricValue { value: self.evaluation.loss, unit, better: Better::Lower };
            metrics.entry("loss".into()).or_insert(loss);
        }
        metrics
    }

    /// The figures of an objective that predicts tokens.
    fn token_json(&self) -> Value {
        json!({
            "loss": self.evaluation.loss,
            "perplexity": self.evaluation.loss.exp(),
            "bits_per_byte": self.evaluation.bits_per_byte,
            "accuracy": self.evaluation.accuracy,
            "tokens": self.evaluation.tokens,
            "bytes": self.evaluation.bytes,
            "kind": if self.is_pseudo { "pseudo" } else { "causal" },
        })
    }

    /// Name and value of each metric.
    ///
    /// The floor and the accuracy by kind exist for the built-in stories only.
    fn table_rows(&self) -> Vec<(String, String)> {
        let mut rows = if self.unit == LossUnit::Token { self.token_rows() } else { Vec::new() };
        let metrics = self.all_metrics();
        let metrics = in_order(&metrics, &self.descriptions).into_iter().map(|(name, metric)| {
            let value = match metric.better {
                _ if name == "loss" => metrics_text::format_value(metric),
                Better::Lower => format!("{} (lower is better)", metrics_text::format_value(metric)),
                Better::Higher => format!("{} (higher is better)", metrics_text::format_value(metric)),
            };
            (name.replace('_', " "), value)
        });
        rows.extend(metrics);
        rows
    }

    /// The table of names and values.
    fn format_table(&self) -> String {
        let rows = self.table_rows();
        format_pairs(&rows.iter().map(|(name, value)| (name.as_str(), value.clone())).collect::<Vec<_>>())
    }

    /// The rows of an objective that predicts tokens.
    fn token_rows(&self) -> Vec<(String, String)> {
        let evaluation = &self.evaluation;
        let loss = evaluation.loss;
        let perplexity = if self.is_pseudo { "pseudo-perplexity" } else { "perplexity" };
        let tokens = format_count(evaluation.tokens as f64);
        let mut rows = vec![
            ("loss", format!("{loss:.4} nats per token")),
            (perplexity, format!("{:.3}", loss.exp())),
            ("bits per byte", format!("{:.4}", evaluation.bits_per_byte)),
            ("accuracy", format_percent(evaluation.accuracy)),
            ("text", format!("{tokens} tokens, {}", format_bytes(evaluation.bytes as f64))),
        ];
        let floor = evaluation.reference_loss.map(|floor| metrics_text::format_above_floor(loss, floor));
        rows.extend(floor.map(|text| ("floor", text)));
        let kinds = evaluation.by_dependency.as_ref().map(metrics_text::format_kinds);
        rows.extend(kinds.map(|text| ("accuracy by kind", text)));
        rows.into_iter().map(|(name, value)| (name.to_string(), value)).collect()
    }
}

impl Args {
    /// The files of `--data` with `--field`, else validation text of the run.
    fn text(&self) -> EvalText {
        match (self.data.is_empty(), self.all) {
            (false, _) => EvalText::Files(self.files_config()),
            (true, true) => EvalText::Validation,
            (true, false) => EvalText::EvalSet,
        }
    }

    /// The files of `--data`, with `--field`.
    fn files_config(&self) -> FilesConfig {
        let mut files = FilesConfig::new(&self.data);
        files.field = self.field.clone().unwrap_or(files.field);
        files.skip_bad_rows = self.skip_bad_rows;
        files
    }
}

/// The result of the objective, followed by those of its components.
fn command_output(total: &Measurement, components: &[(&'static str, Measurement)]) -> CommandOutput {
    let mut json = total.to_json();
    if !components.is_empty() {
        let modes = components.iter().map(|(name, component)| ((*name).to_string(), component.to_json()));
        json["modes"] = modes.collect::<Map<_, _>>().into();
    }
    let mut tables = vec![total.format_table()];
    for (name, component) in components {
        tables.push(format!("\n{}\n{}", name.replace('_', " "), component.format_table()));
    }
    CommandOutput::new(json, tables.join("\n"))
}
