//! `report.html`, the report of a run.
//!
//! It is written at the end of a run, after an interruption, and after a loss that became non-finite. Everything on it comes
//! from the files of the run folder, so that a finished run can be reported again with `kiln train --resume RUN`.

use super::{
    base_model::describe_base,
    error::CliError,
    metrics_summary::MetricsSummary,
    model_summary, objective_example,
    objective_metrics::{loss_unit, metric_descriptions},
    output::print_message,
};
use crate::page::{self, CheckpointEntry, Compression, ExpertLoad, ModelSummary, ObjectiveExample, Report};
use burn::tensor::Device;
use kiln_data::{ChatTemplate, SourceConfig};
use kiln_infer::block_on;
use kiln_interpret::expert_loads;
use kiln_models::Model;
use kiln_train::{
    Models, Recipe, RunFolderError, StageConfig,
    metrics::CompressionMetrics,
    objective::LossKind,
    run,
    run_folder::{RunPaths, StageFolder, write_atomic},
};
use std::path::Path;

/// Number of tokens of a drawn attention pattern.
const PATTERN_SIZE: usize = 48;

/// Writes the report of the run at `path` into its folder.
///
/// The file is replaced atomically: a reader sees the old or the new page.
pub fn write_report(path: &Path, device: &Device) -> Result<(), CliError> {
    let paths = RunPaths::open(path)?;
    let page = page::render_report(&build_report(&paths, device)?);
    write_atomic(&paths.report(), page.as_bytes())?;
    print_message(&format!("report: {}", paths.report().display()));
    Ok(())
}

/// Name of a run: that of its folder.
pub fn run_name(path: &Path) -> String {
    let absolute = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    absolute.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

/// The metrics of a run, as the pages read them.
pub fn page_rows(paths: &RunPaths) -> Result<Vec<page::Row>, CliError> {
    let path = paths.metrics();
    let text = std::fs::read_to_string(&path).map_err(|error| RunFolderError::from_io("read", &path, error))?;
    page::parse_rows(&text)
        .map_err(|error| CliError::failed("metrics", error.to_string()).with_location(path.display().to_string()))
}

/// The model of a run without weights. `None` before the tokenizer exists, because the vocabulary size is unknown.
///
/// Serves sizes, costs and patterns; its weights are never read.
pub fn outline_model(paths: &RunPaths, recipe: &Recipe) -> Result<Option<Model>, CliError> {
    if !paths.tokenizer().exists() {
        return Ok(None);
    }
    let tokenizer = super::tokenizer::open_tokenizer(paths.root())?;
    Ok(Some(Model::without_weights(&run::model_config(recipe, &tokenizer)?)))
}

/// Collects the data of the page. A run that was interrupted before its tokenizer existed has neither model nor
/// examples.
fn build_report(paths: &RunPaths, device: &Device) -> Result<Report, CliError> {
    let recipe = run::load_recipe(paths)?;
    let stage = recipe.stages.last().cloned().unwrap_or_default();
    let metric_rows = run::load_metrics(paths)?;
    let metrics = MetricsSummary::from_rows(&metric_rows);
    let model = outline_model(paths, &recipe)?;
    let summary = model.as_ref().map(|model| model_summary::summarize(model, stage.sequence_length, PATTERN_SIZE));
    let objective = stage.external_objective.clone().unwrap_or_else(|| stage.objective.name().into());
    Ok(Report {
        name: run_name(paths.root()),
        objective,
        loss_unit: loss_unit(&stage).into(),
        metrics: metric_descriptions(&recipe),
        is_pseudo: stage.objective.build().loss_kind() == LossKind::PseudoLikelihood,
        run_info: [run_info(&recipe, &stage, summary.as_ref(), device), early_end(&metrics)].concat(),
        parameters: summary.as_ref().map_or(0, |summary| summary.total_parameters),
        base: model.as_ref().and_then(|model| describe_base(&recipe, &stage, model, &metric_rows)),
        commands: metrics.commands.clone(),
        expert_loads: run_expert_loads(paths, &recipe, &stage, summary.as_ref(), device),
        steps: metrics.steps(),
        tokens: metrics.tokens(),
        seconds: metrics.seconds(),
        tokens_per_second: metrics.tokens_per_second(),
        train_loss: metrics.train_loss,
        validation_loss: metrics.validation_loss(),
        floor: metrics.floor(),
        acceptance_rate: metrics.acceptance_rate(),
        bits_per_byte: metrics.last_validation.as_ref().map(|row| row.bits_per_byte),
        compression: metrics.compression.as_ref().map(page_compression),
        recipe_toml: recipe.to_toml(),
        rows: page_rows(paths)?,
        model: summary.unwrap_or_default(),
        examples: model.map_or(Ok(Vec::new()), |model| examples(paths, &recipe, &stage, model))?,
        checkpoints: checkpoints(paths, &recipe)?,
    })
}

/// Why the run ended before its last step, if it did.
fn early_end(metrics: &MetricsSummary) -> Vec<(String, String)> {
    metrics.early_end.iter().map(|reason| ("Ended".to_string(), reason.clone())).collect()
}

/// The comparison with compressors, as the page reads it.
fn page_compression(row: &CompressionMetrics) -> Compression {
    Compression {
        bytes: row.text_bytes,
        model: Some(row.model_bits_per_byte),
        gzip: Some(row.gzip),
        xz: Some(row.xz),
        zstd: Some(row.zstd),
    }
}

/// Examples of the objective of the last stage.
fn examples(
    paths: &RunPaths,
    recipe: &Recipe,
    stage: &StageConfig,
    model: Model,
) -> Result<Vec<ObjectiveExample>, CliError> {
    // What an objective in Rust makes of a text is unknown here.
    if stage.external_objective.is_some() {
        return Ok(Vec::new());
    }
    let tokenizer = super::tokenizer::open_tokenizer(paths.root())?;
    let models = Models::new(model);
    let template = ChatTemplate::from_folder(paths.root())?;
    let data = stage.data_config(recipe);
    Ok(objective_example::stage_examples(data, stage, &models, &tokenizer, template.as_ref()))
}

/// Maximum number of tokens on which expert loads are counted.
const MAX_LOAD_TOKENS: usize = 2048;

/// Expert loads of the trained model on the beginning of its validation text. Empty for a model without experts, before the
/// first checkpoint, and if the text can no longer be read.
fn run_expert_loads(
    paths: &RunPaths,
    recipe: &Recipe,
    stage: &StageConfig,
    summary: Option<&ModelSummary>,
    device: &Device,
) -> Vec<ExpertLoad> {
    let has_experts =
        summary.is_some_and(|summary| summary.layers.iter().any(|layer| layer.title.contains(" experts,")));
    if !has_experts {
        return Vec::new();
    }
    let text = objective_example::first_validation_text(stage.data_config(recipe)).ok().flatten();
    let Some((text, loaded)) = text.zip(run::load(paths.root(), device).ok()) else { return Vec::new() };
    let mut ids = loaded.tokenizer.encode_prompt(loaded.tokenizer.special_tokens().bos, &text);
    ids.truncate(stage.sequence_length.min(MAX_LOAD_TOKENS));
    let loads = block_on(expert_loads(&loaded.model, &ids)).unwrap_or_default();
    loads.into_iter().map(|load| ExpertLoad { layer: load.layer, shares: load.shares }).collect()
}

/// Text, tokenizer, batch size, seed and device.
///
/// `model` is missing before the tokenizer exists. The device is that of this process.
fn run_info(
    recipe: &Recipe,
    stage: &StageConfig,
    model: Option<&ModelSummary>,
    device: &Device,
) -> Vec<(String, String)> {
    let data = stage.data_config(recipe);
    let text = match &data.sources[..] {
        [] => source_name(&data.source),
        sources => {
            let weighted = sources.iter().map(|part| format!("{} (weight {})", source_name(&part.source), part.weight));
            weighted.collect::<Vec<_>>().join(", ")
        }
    };
    let tokenizer = match model {
        Some(model) => format!("{}, vocabulary size {}", recipe.tokenizer.name(), model.vocab),
        None => recipe.tokenizer.name().into(),
    };
    let threads = rayon::current_num_threads();
    let device = if *device == Device::flex() {
        format!("flex, {threads} {}", if threads == 1 { "thread" } else { "threads" })
    } else {
        format!("{device:?}")
    };
    let facts = [
        ("Data", text),
        ("Tokenizer", tokenizer),
        ("Batch", format!("{} sequences of {} tokens", stage.batch_size, stage.sequence_length)),
        ("Seed", recipe.seed.to_string()),
        ("Device", device),
    ];
    facts.map(|(name, value)| (name.to_string(), value)).to_vec()
}

/// The paths of a source, or what the built-in stories depend on.
fn source_name(source: &SourceConfig) -> String {
    match source {
        SourceConfig::Stories(stories) => format!("built-in stories, seed {}, {} MB", stories.seed, stories.megabytes),
        SourceConfig::Files(files) => files.paths.join(", "),
    }
}

/// The saved checkpoints of all stages, in order.
fn checkpoints(paths: &RunPaths, recipe: &Recipe) -> Result<Vec<CheckpointEntry>, CliError> {
    let stages = paths.stages(recipe).iter().map(stage_checkpoints).collect::<Result<Vec<_>, _>>()?;
    Ok(stages.concat())
}

/// The checkpoints of one stage, oldest first.
fn stage_checkpoints(stage: &StageFolder) -> Result<Vec<CheckpointEntry>, CliError> {
    let checkpoints = stage.checkpoints();
    let best = checkpoints.best_step()?;
    let mut entries = Vec::new();
    for step in checkpoints.steps()? {
        entries.push(CheckpointEntry {
            step,
            validation_loss: checkpoints.load_state(step)?.eval_loss,
            bytes: folder_bytes(&checkpoints.folder(step)),
            is_best: best == Some(step),
        });
    }
    Ok(entries)
}

/// Total size of the files in a folder, in bytes. Unreadable files count 0.
fn folder_bytes(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.metadata().ok()).map(|metadata| metadata.len()).sum()
}
