//! `kiln inspect MODEL`: architecture, parameters and cost of a model.
//!
//! ```console
//! kiln inspect runs/stories
//! kiln inspect models/smollm2/SmolLM2-135M-Instruct.Q4_1.gguf --json
//! kiln inspect runs/stories --text "Once upon a time"
//! ```
//!
//! The tables show the size of the model, then the layers with parameters, memory in f32, floating-point operations and
//! decode state per token, then the kernels of training and inference with the reason for their choice, then each attention
//! pattern. Equal blocks are shown once, with the totals of all copies; the JSON result lists every layer. Quantized tensors
//! of a file are listed with their types. With `--text`, see `inspect_text`.
//!
//! JSON: `{"parameters","bytes","flops_per_token","state_bytes_per_token","length","stored":[{"stored","tensors","numbers",
//! "bytes","multiplied"}],"modules":[{"path","what","parameters","bytes","flops_per_token","state_bytes_per_token","kernel",
//! "reason","pattern"}]}`.

use super::{
    device_args::DeviceArgs,
    error::CliError,
    inspect_text,
    layer_table::{draw_patterns, kernel_reasons, layer_table},
    model_args::ModelArgs,
    model_summary,
    output::CommandOutput,
    run_report,
    table::format_pairs,
};
use crate::page::{
    LayerSummary, ModelSummary,
    number_format::{format_bytes, format_count},
};
use kiln_models::{DtypeSummary, Model};
use kiln_train::{pretrained::ModelSource, run, run_folder::RunPaths};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Number of tokens of a drawn attention pattern.
const PATTERN_SIZE: usize = 32;

/// Sequence length for the costs of models whose training length is unknown.
const DEFAULT_SEQUENCE_LENGTH: usize = 1024;

/// Bytes of a parameter in 32-bit floating point.
pub const F32_BYTES: u64 = 4;

/// Arguments of `kiln inspect`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    model: ModelArgs,
    /// Text to analyze: attention maps, and the predictions after each layer (logit lens).
    #[arg(long, value_name = "TEXT")]
    text: Option<String>,
    /// HTML page to write the analysis to (default: inspect.html in the run folder; in the current directory for other
    /// models and with --adapter).
    #[arg(long, value_name = "FILE", requires = "text")]
    out: Option<PathBuf>,
    #[command(flatten)]
    device: DeviceArgs,
}

/// Prints the tables of a model, or analyzes a text with it. Without a text, no weights are loaded.
pub fn run(args: &Args) -> Result<CommandOutput, CliError> {
    let source = args.model.source()?;
    if let Some(text) = &args.text {
        let folder = plain_run_folder(&source).unwrap_or(Path::new(""));
        let out = args.out.clone().unwrap_or_else(|| folder.join("inspect.html"));
        return inspect_text::run(&args.model, text, &out, &args.device);
    }
    let (model, length) = model_outline(&source)?;
    let summary = model_summary::summarize(&model, length, PATTERN_SIZE);
    let formats = source.dtypes()?;
    let mut tables = vec![overview_table(&summary, length, &formats), layer_table(&summary), kernel_reasons(&model)];
    tables.push(draw_patterns(&summary));
    tables.retain(|table| !table.is_empty());
    Ok(CommandOutput::new(to_json(&summary, length, &formats), tables.join("\n\n")))
}

/// The run folder of a model without adapters over it.
fn plain_run_folder(source: &ModelSource) -> Option<&Path> {
    source.run_folder().filter(|_| source.adapters().is_empty())
}

/// A model without weights, and the sequence length for its costs: that of the training, or the number of positions.
///
/// A run without a tokenizer yet is an error, because its vocabulary size is unknown.
fn model_outline(source: &ModelSource) -> Result<(Model, usize), CliError> {
    let Some(path) = plain_run_folder(source) else {
        let model = Model::without_weights(&source.config()?);
        let max_positions = model.config().max_positions().unwrap_or(DEFAULT_SEQUENCE_LENGTH);
        return Ok((model, max_positions.min(DEFAULT_SEQUENCE_LENGTH)));
    };
    let paths = RunPaths::open(path)?;
    let recipe = run::load_recipe(&paths)?;
    let model = run_report::outline_model(&paths, &recipe)?.ok_or_else(|| {
        CliError::failed("not-ready", "the run has no tokenizer yet, so that its vocabulary size is unknown")
    })?;
    Ok((model, recipe.stages.last().map_or(0, |stage| stage.sequence_length)))
}

/// Sum of a cost over all layers.
fn sum_layers(summary: &ModelSummary, value: impl Fn(&LayerSummary) -> f64) -> f64 {
    summary.layers.iter().map(value).sum()
}

/// Sizes and costs of the whole model.
fn overview_table(summary: &ModelSummary, length: usize, formats: &[DtypeSummary]) -> String {
    let flops = format_count(sum_layers(summary, |layer| layer.flops_per_token));
    let state = format_bytes(sum_layers(summary, |layer| layer.state_bytes_per_token));
    let parameters = format_count(summary.total_parameters as f64);
    let memory = format_bytes((F32_BYTES * summary.total_parameters) as f64);
    let mut rows = vec![
        ("model", format!("{}, hidden size {}, vocabulary size {}", summary.stack, summary.hidden, summary.vocab)),
        ("parameters", format!("{parameters}, {memory} in f32")),
    ];
    for (index, format) in formats.iter().enumerate() {
        rows.push((if index == 0 { "files" } else { "" }, format_tensor_format(format)));
    }
    rows.push(("per token", format!("{flops} FLOPs forward, {state} of state, at sequence length {length}")));
    format_pairs(&rows)
}

/// `211 tensors Q4_1, 84 MB, multiplied as stored on a CPU`: number, type and size of the tensors of one type. Some
/// quantized types are multiplied as they are, others are dequantized first.
fn format_tensor_format(format: &DtypeSummary) -> String {
    let tensors = if format.num_tensors == 1 { "tensor" } else { "tensors" };
    let size = format.num_bytes().map_or_else(String::new, |size| format!(", {}", format_bytes(size as f64)));
    let multiplication = if format.can_multiply() { ", multiplied as stored on a CPU" } else { "" };
    format!("{} {tensors} {}{size}{multiplication}", format.num_tensors, format.dtype)
}

/// `length` is the sequence length of the costs.
fn to_json(summary: &ModelSummary, length: usize, formats: &[DtypeSummary]) -> Value {
    json!({
        "parameters": summary.total_parameters,
        "bytes": F32_BYTES * summary.total_parameters,
        "flops_per_token": sum_layers(summary, |layer| layer.flops_per_token),
        "state_bytes_per_token": sum_layers(summary, |layer| layer.state_bytes_per_token),
        "length": length,
        "stored": formats.iter().map(format_json).collect::<Vec<_>>(),
        "modules": summary.layers.iter().map(layer_json).collect::<Vec<_>>(),
    })
}

/// The tensors of one type; `bytes` is null for types of unknown size.
fn format_json(format: &DtypeSummary) -> Value {
    json!({
        "stored": format.dtype,
        "tensors": format.num_tensors,
        "numbers": format.num_values,
        "bytes": format.num_bytes(),
        "multiplied": format.can_multiply(),
    })
}

/// A layer; `pattern` is the description of its attention pattern.
fn layer_json(layer: &LayerSummary) -> Value {
    json!({
        "path": layer.path,
        "what": layer.title,
        "parameters": layer.parameters,
        "bytes": F32_BYTES * layer.parameters,
        "flops_per_token": layer.flops_per_token,
        "state_bytes_per_token": layer.state_bytes_per_token,
        "kernel": layer.kernel,
        "reason": layer.kernel_reason,
        "pattern": layer.pattern.as_ref().map(|pattern| &pattern.title),
    })
}
