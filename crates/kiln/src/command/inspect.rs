//! `inspect`: what a model is made of and what it costs.

use super::{
    device_args::DeviceArgs,
    error::CliError,
    inspect_text,
    model_args::ModelArgs,
    model_summary,
    output::CommandOutput,
    run_report,
    table::{format_pairs, format_table},
};
use crate::page::{
    LayerSummary, ModelSummary,
    number_format::{format_bytes, format_count},
};
use kiln_models::{DtypeSummary, Model};
use kiln_train::{pretrained::ModelSource, run, run_folder::RunPaths};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Tokens that a pattern is drawn over in a terminal.
const PATTERN_SIZE: usize = 32;

/// Tokens of a sequence that costs are counted for where nothing says how many a model was trained on.
const DEFAULT_SEQUENCE_LENGTH: usize = 1024;

/// Arguments of `inspect`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    model: ModelArgs,
    /// Text to analyze: attention maps, and the predictions after each layer (logit lens).
    #[arg(long, value_name = "TEXT")]
    text: Option<String>,
    /// Output HTML page of the analysis (default: inspect.html, in the run folder of a run).
    #[arg(long, value_name = "FILE", requires = "text")]
    out: Option<PathBuf>,
    #[command(flatten)]
    device: DeviceArgs,
}

/// Shows it.
pub fn run(args: &Args) -> Result<CommandOutput, CliError> {
    let place = args.model.source()?;
    if let Some(text) = &args.text {
        let folder = if let ModelSource::Run(run) = &place { run.as_path() } else { Path::new("") };
        let out = args.out.clone().unwrap_or_else(|| folder.join("inspect.html"));
        return inspect_text::run(&args.model, text, &out, &args.device);
    }
    let (model, length) = model_outline(&place)?;
    let picture = model_summary::summarize(&model, length, PATTERN_SIZE);
    let stored = place.tensor_formats()?;
    let text = [overview_table(&picture, length, &stored), layer_table(&picture, &model), draw_patterns(&picture)]
        .join("\n\n");
    Ok(CommandOutput::new(to_json(&picture, length, &stored), text))
}

/// A model without its weights, and the length of the sequences that its costs are counted for.
fn model_outline(place: &ModelSource) -> Result<(Model, usize), CliError> {
    let ModelSource::Run(path) = place else {
        let model = Model::without_weights(&place.config()?);
        let length =
            model.config().position.max_positions().unwrap_or(DEFAULT_SEQUENCE_LENGTH).min(DEFAULT_SEQUENCE_LENGTH);
        return Ok((model, length));
    };
    let paths = RunPaths::open(path)?;
    let recipe = run::load_recipe(&paths)?;
    let none =
        || CliError::failed("not-ready", "the run has no tokenizer yet, so that the size of its model is unknown");
    let model = run_report::outline_model(&paths, &recipe)?.ok_or_else(none)?;
    Ok((model, recipe.stages.last().map_or(0, |stage| stage.sequence_length)))
}

fn sum_layers(picture: &ModelSummary, of: impl Fn(&LayerSummary) -> f64) -> f64 {
    picture.layers.iter().map(of).sum()
}

fn overview_table(picture: &ModelSummary, length: usize, stored: &[DtypeSummary]) -> String {
    let flops = sum_layers(picture, |layer| layer.flops_per_token);
    let state = sum_layers(picture, |layer| layer.state_bytes_per_token);
    let mut rows = vec![
        ("model", format!("{} of width {}, {} tokens in its vocabulary", picture.stack, picture.hidden, picture.vocab)),
        (
            "parameters",
            format!(
                "{}, {} as 32-bit floats",
                format_count(picture.total_parameters as f64),
                format_bytes(4.0 * picture.total_parameters as f64)
            ),
        ),
        (
            "a token",
            format!(
                "{} operations forward, {} of state, in sequences of {length} tokens",
                format_count(flops),
                format_bytes(state)
            ),
        ),
    ];
    if !stored.is_empty() {
        rows.insert(2, ("in its files", format_stored(stored)));
    }
    format_pairs(&rows)
}

/// `211 tensors Q4_1, 84 MB, multiplied as they are on a CPU; 61 tensors F32, 140 kB`.
fn format_stored(stored: &[DtypeSummary]) -> String {
    let way = |way: &DtypeSummary| {
        let tensors = if way.num_tensors == 1 { "tensor" } else { "tensors" };
        let size = way.num_bytes().map_or_else(String::new, |size| format!(", {}", format_bytes(size as f64)));
        let how = if way.can_multiply() { ", multiplied as they are on a CPU" } else { "" };
        format!("{} {tensors} {}{size}{how}", way.num_tensors, way.dtype)
    };
    stored.iter().map(way).collect::<Vec<_>>().join("; ")
}

fn layer_table(picture: &ModelSummary, model: &Model) -> String {
    let plans = kernel_plans(model);
    let row = |layer: &LayerSummary| {
        let kernel =
            |at: usize| plans.iter().find(|plan| plan.0 == layer.path).map_or(String::new(), |plan| plan.1[at].clone());
        let parameters = layer.parameters as f64;
        let cells = [
            format_count(parameters),
            format_bytes(4.0 * parameters),
            format_count(layer.flops_per_token),
            format_bytes(layer.state_bytes_per_token),
        ];
        let numbers = cells.map(|cell| if cell.starts_with("0 ") || cell == "0" { "–".into() } else { cell });
        [vec![layer.path.clone(), layer.title.clone()], numbers.to_vec(), vec![kernel(0), kernel(1)]].concat()
    };
    let rows: Vec<Vec<String>> = picture.layers.iter().map(row).collect();
    let head =
        ["layer", "what", "parameters", "memory", "FLOPs/token", "state/token", "kernel training", "kernel writing"];
    let mut text = format_table(&head, &rows, &[2, 3, 4, 5]);
    let mut reasons: Vec<String> = plans.into_iter().flat_map(|plan| plan.2).collect();
    reasons.sort();
    reasons.dedup();
    reasons.iter().for_each(|reason| text += &format!("\n  {reason}"));
    text
}

/// Path, kernels while training and writing, and why each.
fn kernel_plans(model: &Model) -> Vec<(String, [String; 2], Vec<String>)> {
    let mut plans = Vec::new();
    let stacks = [("encoder.", model.encoder().map_or(&[][..], |e| e.blocks())), ("", model.blocks())];
    for (stack, b, block) in stacks.iter().flat_map(|(s, blocks)| blocks.iter().enumerate().map(|(b, k)| (*s, b, k))) {
        for (role, part) in block.parts() {
            let (Some(training), Some(writing)) = (part.plan(true), part.plan(false)) else { continue };
            let kernels = [&training, &writing].map(|plan| plan.kernel.name().to_string());
            let why = [("training", training), ("writing", writing)];
            let reasons = why.map(|(when, plan)| format!("{when}: {}, since {}", plan.kernel.name(), plan.reason));
            plans.push((format!("{stack}blocks.{b}.{role}"), kernels, reasons.to_vec()));
        }
    }
    plans
}

/// Each distinct pattern once, with the layers that have it.
fn draw_patterns(picture: &ModelSummary) -> String {
    let mut shown: Vec<(&crate::page::PatternMask, Vec<&str>)> = Vec::new();
    for layer in &picture.layers {
        let Some(pattern) = &layer.pattern else { continue };
        match shown.iter_mut().find(|(known, _)| *known == pattern) {
            Some((_, paths)) => paths.push(&layer.path),
            None => shown.push((pattern, vec![&layer.path])),
        }
    }
    let drawn = shown.iter().map(|(pattern, paths)| {
        let lines = model_summary::draw_pattern(pattern).into_iter().map(|line| format!("  {line}"));
        let heading =
            format!("{} ({}), {} tokens: rows look, columns are seen", paths.join(", "), pattern.title, pattern.size);
        std::iter::once(heading).chain(lines).collect::<Vec<_>>().join("\n")
    });
    drawn.collect::<Vec<_>>().join("\n\n")
}

fn to_json(picture: &ModelSummary, length: usize, stored: &[DtypeSummary]) -> Value {
    let way = |way: &DtypeSummary| {
        json!({
            "stored": way.dtype, "tensors": way.num_tensors, "numbers": way.num_values, "bytes": way.num_bytes(),
            "multiplied": way.can_multiply(),
        })
    };
    let layer = |layer: &LayerSummary| {
        json!({
            "path": layer.path, "what": layer.title, "parameters": layer.parameters, "bytes": 4 * layer.parameters,
            "flops_per_token": layer.flops_per_token, "state_bytes_per_token": layer.state_bytes_per_token,
            "kernel": layer.kernel, "reason": layer.kernel_reason,
            "pattern": layer.pattern.as_ref().map(|pattern| &pattern.title),
        })
    };
    json!({
        "parameters": picture.total_parameters,
        "bytes": 4 * picture.total_parameters,
        "flops_per_token": sum_layers(picture, |layer| layer.flops_per_token),
        "state_bytes_per_token": sum_layers(picture, |layer| layer.state_bytes_per_token),
        "length": length,
        "stored": stored.iter().map(way).collect::<Vec<_>>(),
        "modules": picture.layers.iter().map(layer).collect::<Vec<_>>(),
    })
}
