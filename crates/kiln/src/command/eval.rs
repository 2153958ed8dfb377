//! `eval`: a model measured on text.

use super::{
    device_args::DeviceArgs,
    error::CliError,
    evaluator::{Evaluator, Measurement},
    metrics_text,
    model_args::ModelArgs,
    output::CommandOutput,
    table::format_pairs,
};
use crate::page::number_format::{format_bytes, format_count, format_percent};
use kiln_data::FilesConfig;
use serde_json::{Map, Value, json};

/// Arguments of `eval`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    model: ModelArgs,
    /// Text to evaluate on, unsplit. Default: the run's validation text. May be repeated.
    #[arg(long, value_name = "PATH")]
    data: Vec<String>,
    /// Field of a .jsonl file, or column of a .parquet file, that holds the text (default: text).
    #[arg(long, value_name = "NAME", requires = "data")]
    field: Option<String>,
    /// Sequence length in tokens: the longest context (default: as in training).
    #[arg(long, alias = "length", value_name = "N", value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(2..=1 << 24))]
    sequence_length: Option<usize>,
    #[command(flatten)]
    device: DeviceArgs,
}

/// Measures.
pub fn run(args: &Args) -> Result<CommandOutput, CliError> {
    let device = args.device.open()?;
    let bench = Evaluator::open(args.model.source()?, (!args.data.is_empty()).then(|| args.files_config()), &device)?;
    let held = bench.eval_set(args.sequence_length.unwrap_or(bench.trained_sequence_length()))?;
    let objective = bench.objective();
    let parts = objective.components().into_iter().map(|(name, part)| Ok((name, bench.evaluate(&held, &*part)?)));
    Ok(command_output(&bench.evaluate(&held, &*objective)?, &parts.collect::<Result<Vec<_>, CliError>>()?))
}

impl Measurement {
    fn to_json(&self) -> Value {
        json!({
            "loss": self.evaluation.loss,
            "perplexity": self.evaluation.loss.exp(),
            "bits_per_byte": self.evaluation.bits_per_byte(),
            "accuracy": self.evaluation.accuracy,
            "tokens": self.evaluation.tokens,
            "bytes": self.evaluation.bytes,
            "kind": if self.is_pseudo { "pseudo" } else { "causal" },
        })
    }

    fn table_rows(&self) -> Vec<(&'static str, String)> {
        let found = &self.evaluation;
        let name = if self.is_pseudo { "pseudo-perplexity" } else { "perplexity" };
        let mut lines = vec![
            ("loss", format!("{:.4} nats a token", found.loss)),
            (name, format!("{:.3}", found.loss.exp())),
            ("bits a byte", format!("{:.4}", found.bits_per_byte())),
            ("accuracy", format_percent(found.accuracy)),
            ("text", format!("{} tokens, {}", format_count(found.tokens as f64), format_bytes(found.bytes as f64))),
        ];
        lines.extend(found.reference_loss.map(|floor| ("floor", metrics_text::format_above_floor(found.loss, floor))));
        lines.extend(found.by_dependency.as_ref().map(|kinds| ("right", metrics_text::format_kinds(kinds))));
        lines
    }
}

impl Args {
    fn files_config(&self) -> FilesConfig {
        let mut files = FilesConfig::new(&self.data);
        files.field = self.field.clone().unwrap_or(files.field);
        files
    }
}

/// The whole, and each part of a mixture.
fn command_output(whole: &Measurement, parts: &[(&'static str, Measurement)]) -> CommandOutput {
    let mut json = whole.to_json();
    if !parts.is_empty() {
        json["modes"] =
            parts.iter().map(|(name, part)| ((*name).to_string(), part.to_json())).collect::<Map<_, _>>().into();
    }
    let part = |(name, part): &(&str, Measurement)| {
        format!("\n{}\n{}", name.replace('_', " "), format_pairs(&part.table_rows()))
    };
    let text =
        std::iter::once(format_pairs(&whole.table_rows())).chain(parts.iter().map(part)).collect::<Vec<_>>().join("\n");
    CommandOutput::new(json, text)
}
