//! The page of a run.

use super::{
    error::CliError, metrics_summary::MetricsSummary, model_summary, objective_example, output::print_message,
};
use crate::page::{self, CheckpointEntry, ModelSummary, Report};
use burn::tensor::Device;
use kiln_data::SourceConfig;
use kiln_models::Model;
use kiln_train::{
    Models, Recipe, RunFolderError, StageConfig,
    objective::LossKind,
    run,
    run_folder::{RunPaths, StageFolder, write_atomic},
};
use std::path::Path;

/// Tokens that a pattern is drawn over.
const PATTERN_SIZE: usize = 48;

/// Writes the page of the run at `path`.
pub fn write_report(path: &Path, device: &Device) -> Result<(), CliError> {
    let paths = RunPaths::open(path)?;
    let page = page::render_report(&build_report(&paths, device)?);
    write_atomic(&paths.report(), page.as_bytes())?;
    print_message(&format!("report in {}", paths.report().display()));
    Ok(())
}

/// What a person calls the run in this folder.
pub fn run_name(path: &Path) -> String {
    let whole = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    whole.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

/// The rows of a run as pages read them.
pub fn page_rows(paths: &RunPaths) -> Result<Vec<page::Row>, CliError> {
    let path = paths.metrics();
    let text = std::fs::read_to_string(&path).map_err(|error| RunFolderError::from_io("read", &path, error))?;
    page::parse_rows(&text)
        .map_err(|bad| CliError::failed("metrics", bad.to_string()).with_location(path.display().to_string()))
}

/// The run's model with fresh weights, for what does not depend on them; none before the tokenizer is there.
pub fn outline_model(paths: &RunPaths, recipe: &Recipe) -> Result<Option<Model>, CliError> {
    if !paths.tokenizer().exists() {
        return Ok(None);
    }
    let tokenizer = super::tokenizer::open_tokenizer(paths.root())?;
    Ok(Some(Model::without_weights(&run::model_config(recipe, &tokenizer)?)))
}

fn build_report(paths: &RunPaths, device: &Device) -> Result<Report, CliError> {
    let recipe = run::load_recipe(paths)?;
    let stage = recipe.stages.last().cloned().unwrap_or_default();
    let history = MetricsSummary::from_rows(&run::load_metrics(paths)?);
    let model = outline_model(paths, &recipe)?;
    let picture = model.as_ref().map(|model| model_summary::summarize(model, stage.sequence_length, PATTERN_SIZE));
    Ok(Report {
        name: run_name(paths.root()),
        objective: stage.objective.name().into(),
        is_pseudo: stage.objective.build().loss_kind() == LossKind::PseudoLikelihood,
        run_info: run_info(&recipe, &stage, picture.as_ref(), device),
        parameters: picture.as_ref().map_or(0, |picture| picture.total_parameters),
        steps: history.steps(),
        tokens: history.tokens(),
        seconds: history.seconds(),
        tokens_per_second: history.tokens_per_second(),
        train_loss: history.train_loss,
        validation_loss: history.validation_loss(),
        floor: history.floor(),
        acceptance_rate: history.acceptance_rate(),
        bits_per_byte: history.last_validation.as_ref().map(|row| row.bits_per_byte),
        compression: history.compression.as_ref().map(|row| page::Compression {
            bytes: row.text_bytes,
            model: Some(row.model_bits_per_byte),
            gzip: Some(row.gzip),
            xz: Some(row.xz),
            zstd: Some(row.zstd),
        }),
        recipe_toml: recipe.to_toml(),
        rows: page_rows(paths)?,
        model: picture.unwrap_or_default(),
        examples: model.map_or(Ok(Vec::new()), |model| {
            let data = stage.data.as_ref().unwrap_or(&recipe.data);
            let tokenizer = super::tokenizer::open_tokenizer(paths.root())?;
            Ok::<_, CliError>(objective_example::stage_examples(data, &stage, &Models { policy: model }, &tokenizer))
        })?,
        checkpoints: checkpoints(paths, &recipe)?,
    })
}

fn run_info(
    recipe: &Recipe,
    stage: &StageConfig,
    model: Option<&ModelSummary>,
    device: &Device,
) -> Vec<(String, String)> {
    let data = match &stage.data.as_ref().unwrap_or(&recipe.data).source {
        SourceConfig::Stories(stories) => format!("built-in stories, seed {}, {} MB", stories.seed, stories.megabytes),
        SourceConfig::Files(files) => files.paths.join(", "),
    };
    let tokenizer = match model {
        Some(model) => format!("{}, {} tokens", recipe.tokenizer.name(), model.vocab),
        None => recipe.tokenizer.name().into(),
    };
    let threads = rayon::current_num_threads();
    let device = match *device == Device::flex() {
        true => format!("flex, {threads} {}", if threads == 1 { "thread" } else { "threads" }),
        false => format!("{device:?}"),
    };
    let facts = [
        ("Text", data),
        ("Tokenizer", tokenizer),
        ("Batch", format!("{} sequences of {} tokens", stage.batch_size, stage.sequence_length)),
        ("Seed", recipe.seed.to_string()),
        ("Device", device),
    ];
    facts.map(|(name, value)| (name.to_string(), value)).to_vec()
}

fn checkpoints(paths: &RunPaths, recipe: &Recipe) -> Result<Vec<CheckpointEntry>, CliError> {
    let kept = paths.stages(recipe).iter().map(stage_checkpoints).collect::<Result<Vec<_>, _>>()?;
    Ok(kept.concat())
}

fn stage_checkpoints(stage: &StageFolder) -> Result<Vec<CheckpointEntry>, CliError> {
    let checkpoints = stage.checkpoints();
    let best = checkpoints.best_step()?;
    let one = |step: u64| {
        let validation_loss = checkpoints.load_state(step)?.eval_loss;
        let bytes = folder_bytes(&checkpoints.folder(step));
        Ok(CheckpointEntry { step, validation_loss, bytes, is_best: best == Some(step) })
    };
    checkpoints.steps()?.into_iter().map(one).collect()
}

fn folder_bytes(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.metadata().ok()).map(|found| found.len()).sum()
}
