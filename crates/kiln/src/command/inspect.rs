//! `inspect`: what a model is made of and what it costs.

use super::{
    host::HostArgs,
    inside,
    output::Answer,
    picture,
    place::ModelArgs,
    report,
    table::{pairs, table},
    trouble::Trouble,
};
use crate::page::{
    LayerPicture, ModelPicture,
    number::{bytes, count},
};
use kiln_models::{Model, Stored};
use kiln_train::{folder::RunPaths, pretrained::Place, run};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Tokens that a pattern is drawn over in a terminal.
const PATTERN: usize = 32;

/// Tokens of a sequence that costs are counted for where nothing says how many a model was trained on.
const LENGTH: usize = 1024;

/// Arguments of `inspect`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    model: ModelArgs,
    /// A text to look at: where each head looks, and what the model would say after each layer.
    #[arg(long, value_name = "TEXT")]
    text: Option<String>,
    /// Where the page about the text goes; inspect.html if not said, in the folder of a run.
    #[arg(long, value_name = "FILE", requires = "text")]
    out: Option<PathBuf>,
    #[command(flatten)]
    host: HostArgs,
}

/// Shows it.
pub fn run(args: &Args) -> Result<Answer, Trouble> {
    let place = args.model.place()?;
    if let Some(text) = &args.text {
        let folder = if let Place::Run(run) = &place { run.as_path() } else { Path::new("") };
        let out = args.out.clone().unwrap_or_else(|| folder.join("inspect.html"));
        return inside::run(&args.model, text, &out, &args.host);
    }
    let (model, length) = shape(&place)?;
    let picture = picture::of(&model, length, PATTERN);
    let stored = place.stored()?;
    let text = [overview(&picture, length, &stored), layers(&picture, &model), patterns(&picture)].join("\n\n");
    Ok(Answer::new(json(&picture, length, &stored), text))
}

/// A model without its weights, and the length of the sequences that its costs are counted for.
fn shape(place: &Place) -> Result<(Model, usize), Trouble> {
    let Place::Run(path) = place else {
        let model = Model::outline(&place.config()?);
        let length = model.config().position.limit().unwrap_or(LENGTH).min(LENGTH);
        return Ok((model, length));
    };
    let paths = RunPaths::open(path)?;
    let recipe = run::recipe(&paths)?;
    let none =
        || Trouble::failed("not-ready", "the run has no tokenizer yet, so that the size of its model is unknown");
    let model = report::untrained(&paths, &recipe)?.ok_or_else(none)?;
    Ok((model, recipe.stages.last().map_or(0, |stage| stage.length)))
}

fn sum(picture: &ModelPicture, of: impl Fn(&LayerPicture) -> f64) -> f64 {
    picture.layers.iter().map(of).sum()
}

fn overview(picture: &ModelPicture, length: usize, stored: &[Stored]) -> String {
    let flops = sum(picture, |layer| layer.flops_per_token);
    let state = sum(picture, |layer| layer.state_bytes_per_token);
    let mut rows = vec![
        ("model", format!("{} of width {}, {} tokens in its vocabulary", picture.stack, picture.hidden, picture.vocab)),
        (
            "parameters",
            format!(
                "{}, {} as 32-bit floats",
                count(picture.total_parameters as f64),
                bytes(4.0 * picture.total_parameters as f64)
            ),
        ),
        (
            "a token",
            format!("{} operations forward, {} of state, in sequences of {length} tokens", count(flops), bytes(state)),
        ),
    ];
    if !stored.is_empty() {
        rows.insert(2, ("in its files", files(stored)));
    }
    pairs(&rows)
}

/// `211 tensors Q4_1, 84 MB, multiplied as they are on a CPU; 61 tensors F32, 140 kB`.
fn files(stored: &[Stored]) -> String {
    let way = |way: &Stored| {
        let tensors = if way.tensors == 1 { "tensor" } else { "tensors" };
        let size = way.bytes().map_or_else(String::new, |size| format!(", {}", bytes(size as f64)));
        let how = if way.multiplies() { ", multiplied as they are on a CPU" } else { "" };
        format!("{} {tensors} {}{size}{how}", way.tensors, way.name)
    };
    stored.iter().map(way).collect::<Vec<_>>().join("; ")
}

fn layers(picture: &ModelPicture, model: &Model) -> String {
    let plans = plans(model);
    let row = |layer: &LayerPicture| {
        let kernel =
            |at: usize| plans.iter().find(|plan| plan.0 == layer.path).map_or(String::new(), |plan| plan.1[at].clone());
        let parameters = layer.parameters as f64;
        let cells = [
            count(parameters),
            bytes(4.0 * parameters),
            count(layer.flops_per_token),
            bytes(layer.state_bytes_per_token),
        ];
        let numbers = cells.map(|cell| if cell.starts_with("0 ") || cell == "0" { "–".into() } else { cell });
        [vec![layer.path.clone(), layer.title.clone()], numbers.to_vec(), vec![kernel(0), kernel(1)]].concat()
    };
    let rows: Vec<Vec<String>> = picture.layers.iter().map(row).collect();
    let head =
        ["layer", "what", "parameters", "memory", "FLOPs/token", "state/token", "kernel training", "kernel writing"];
    let mut text = table(&head, &rows, &[2, 3, 4, 5]);
    let mut reasons: Vec<String> = plans.into_iter().flat_map(|plan| plan.2).collect();
    reasons.sort();
    reasons.dedup();
    reasons.iter().for_each(|reason| text += &format!("\n  {reason}"));
    text
}

/// Path, kernels while training and writing, and why each.
fn plans(model: &Model) -> Vec<(String, [String; 2], Vec<String>)> {
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
fn patterns(picture: &ModelPicture) -> String {
    let mut shown: Vec<(&crate::page::PatternPicture, Vec<&str>)> = Vec::new();
    for layer in &picture.layers {
        let Some(pattern) = &layer.pattern else { continue };
        match shown.iter_mut().find(|(known, _)| *known == pattern) {
            Some((_, paths)) => paths.push(&layer.path),
            None => shown.push((pattern, vec![&layer.path])),
        }
    }
    let drawn = shown.iter().map(|(pattern, paths)| {
        let lines = picture::drawn(pattern).into_iter().map(|line| format!("  {line}"));
        let heading =
            format!("{} ({}), {} tokens: rows look, columns are seen", paths.join(", "), pattern.title, pattern.size);
        std::iter::once(heading).chain(lines).collect::<Vec<_>>().join("\n")
    });
    drawn.collect::<Vec<_>>().join("\n\n")
}

fn json(picture: &ModelPicture, length: usize, stored: &[Stored]) -> Value {
    let way = |way: &Stored| {
        json!({
            "stored": way.name, "tensors": way.tensors, "numbers": way.numbers, "bytes": way.bytes(),
            "multiplied": way.multiplies(),
        })
    };
    let layer = |layer: &LayerPicture| {
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
        "flops_per_token": sum(picture, |layer| layer.flops_per_token),
        "state_bytes_per_token": sum(picture, |layer| layer.state_bytes_per_token),
        "length": length,
        "stored": stored.iter().map(way).collect::<Vec<_>>(),
        "modules": picture.layers.iter().map(layer).collect::<Vec<_>>(),
    })
}
