//! A run, from text to a trained model: `text → Tokenizer → Corpus → Batch → Model → Objective → Step → Checkpoint`.
//!
//! The loop is Kiln's own. Burn's learner counts in epochs, saves between them and not within, and keeps no place in
//! the data; a run here goes on from any step, bit for bit. Gradients and their accumulation are Burn's.

mod data;
mod diagnose;
mod load;
mod progress;
mod setup;
mod stage_output;
mod stage_run;

pub use data::{is_built_in, open_data, token_storage};
pub use diagnose::find_non_finite;
pub use load::{LoadedRun, load};
pub use progress::{ProgressEvent, ProgressListener};
pub use setup::model_config;

use crate::recipe::refuse_parent;
use crate::{
    Objective, Recipe, RunFolderError, StageConfig, TrainError,
    gradient_checkpointing::GradientCheckpointing,
    metrics::MetricsRow,
    run_folder::{MetricsLog, ResumePoint, RunFolder, RunPaths},
};
use burn::tensor::Device;
use kiln_data::DataError;
use kiln_spec::{ValidationError, config::ConfigError};
use load::load_weights;
use setup::{check_sources, init_models, prepare_tokenizer, set_stage_adapter};
use stage_run::{StageOutcome, StageRun};
use std::{
    fs,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
};

/// What a run needs besides its recipe.
pub struct RunContext<'a> {
    /// Where it computes, without autodiff.
    pub device: Device,
    /// Set it, and the run ends its step, saves and returns; while it still reads text, it returns at once.
    pub stop_flag: &'a AtomicBool,
    /// Is told what happens.
    pub listener: &'a mut dyn ProgressListener,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq)]
pub struct RunOutcome {
    /// Its folder.
    pub folder: std::path::PathBuf,
    /// Steps done, of how many, in the last stage.
    pub steps: (u64, u64),
    /// Whether it was asked to stop.
    pub interrupted: bool,
}

/// From a stage to the objective that it trains for.
pub type ObjectiveFactory<'a> = &'a dyn Fn(&StageConfig) -> Box<dyn Objective>;

/// The objectives that the stages name.
fn recipe_objective(stage: &StageConfig) -> Box<dyn Objective> {
    stage.objective.build()
}

/// Starts a run: its folder and recipe are there before any long work.
///
/// # Errors
/// See [`Failure`].
pub fn start(recipe: &Recipe, out: Option<&Path>, host: RunContext) -> Result<RunOutcome, TrainError> {
    start_with_objectives(recipe, out, host, &recipe_objective)
}

/// The same with objectives written elsewhere, which the recipe can't name.
///
/// # Errors
/// See [`Failure`].
pub fn start_with_objectives(
    recipe: &Recipe,
    out: Option<&Path>,
    host: RunContext,
    objectives: ObjectiveFactory,
) -> Result<RunOutcome, TrainError> {
    let mut recipe = recipe.clone();
    // Resumed from another folder, the run still finds its text.
    std::env::current_dir().iter().for_each(|here| recipe.resolve_paths(here));
    // What can't be found leaves no folder behind, so that the same command may be tried again.
    check_sources(&recipe)?;
    check_gradient_checkpointing(&recipe, &host.device)?;
    let folder = RunFolder::create(out, &recipe.name, &recipe.to_toml())?;
    host.listener.on_event(ProgressEvent::RunOpened(folder.root()));
    run_until_stopped(&recipe, &folder, host, objectives, None)
}

/// Recomputing is an operation that only flex has.
fn check_gradient_checkpointing(recipe: &Recipe, device: &Device) -> Result<(), TrainError> {
    let asks = recipe.stages.iter().position(|stage| stage.gradient_checkpointing != GradientCheckpointing::None);
    let Some(stage) = asks.filter(|_| *device != Device::flex()) else { return Ok(()) };
    let refusal = ValidationError::new(
        format!("stages[{stage}].gradient_checkpointing"),
        "gradient checkpointing requires the device `flex`",
    );
    Err(ConfigError::from(refusal.with_suggestion("gradient_checkpointing = \"none\", or --device flex")).into())
}

/// Goes on with a run from its last checkpoint, or from step 0 if it saved nothing yet. The recipe is the run's own.
///
/// # Errors
/// See [`Failure`]; a damaged checkpoint is an error, never passed over.
pub fn resume(path: &Path, host: RunContext) -> Result<RunOutcome, TrainError> {
    resume_with_objectives(path, host, &recipe_objective)
}

/// The same with the objectives that the run was started with.
///
/// # Errors
/// See [`Failure`].
pub fn resume_with_objectives(
    path: &Path,
    host: RunContext,
    objectives: ObjectiveFactory,
) -> Result<RunOutcome, TrainError> {
    let folder = RunFolder::open(path)?;
    let recipe = load_own_recipe(&folder)?;
    check_gradient_checkpointing(&recipe, &host.device)?;
    host.listener.on_event(ProgressEvent::RunOpened(folder.root()));
    let found = folder.find_resume_point(&recipe)?;
    run_until_stopped(&recipe, &folder, host, objectives, found)
}

/// Reads the recipe of a run. Keys that an earlier Kiln wrote under old names are translated.
///
/// # Errors
/// If the folder holds no `recipe.toml`, or the recipe is invalid.
pub fn load_recipe(paths: &RunPaths) -> Result<Recipe, TrainError> {
    let (text, file) = read_recipe(paths)?;
    Ok(Recipe::load_saved(&text, Some(&file))?)
}

/// Reads the recipe of a run that is to be resumed. Old names are refused: the checkpoints hold the hash of the recipe as
/// it was written.
fn load_own_recipe(paths: &RunPaths) -> Result<Recipe, TrainError> {
    let (text, file) = read_recipe(paths)?;
    Ok(Recipe::load(&text, Some(&file), &[], &refuse_parent)?)
}

/// The text of a run's `recipe.toml`, and its path for errors.
fn read_recipe(paths: &RunPaths) -> Result<(String, String), TrainError> {
    let path = paths.recipe();
    let text = fs::read_to_string(&path).map_err(|error| RunFolderError::from_io("read", &path, error))?;
    Ok((text, path.display().to_string()))
}

/// A run that is stopped while it reads text stands where it was saved last.
fn run_until_stopped(
    recipe: &Recipe,
    folder: &RunFolder,
    host: RunContext,
    objectives: ObjectiveFactory,
    found: Option<ResumePoint>,
) -> Result<RunOutcome, TrainError> {
    match run_stages(recipe, folder, host, objectives, found) {
        Err(TrainError::Data(DataError::Stopped { .. })) => {}
        ended => return ended,
    }
    let (index, step) = folder.newest_checkpoint(recipe)?.map_or((0, 0), |(stage, step)| (stage.index, step));
    let all = recipe.stages.get(index).map_or(0, |stage| stage.steps);
    Ok(RunOutcome { folder: folder.root().to_owned(), steps: (step, all), interrupted: true })
}

fn run_stages(
    recipe: &Recipe,
    folder: &RunFolder,
    host: RunContext,
    objectives: ObjectiveFactory,
    mut found: Option<ResumePoint>,
) -> Result<RunOutcome, TrainError> {
    let stop = || host.stop_flag.load(Ordering::Relaxed);
    let tokenizer = prepare_tokenizer(recipe, folder, &stop, host.listener)?;
    let mut models = init_models(recipe, &tokenizer, &host.device, found.is_none())?;
    let first = found.as_ref().map_or(0, |found| found.stage.index);
    let step = found.as_ref().map_or(0, |found| found.checkpoint.state.step);
    let earlier: u64 = recipe.stages.iter().take(first).map(|stage| stage.steps).sum();
    let mut log = match found {
        Some(_) => MetricsLog::truncate_after(&folder.metrics(), earlier + step)?,
        // What was measured before the first step is measured again.
        None => MetricsLog::truncate_to_events(&folder.metrics())?,
    };
    let (mut steps, mut tokens) = ((0, 0), 0);
    for (index, config) in recipe.stages.iter().enumerate().skip(first) {
        let corpus = data::build_corpus(config.data_config(recipe), &tokenizer, folder, &stop, host.listener)?;
        let place = folder.stage(index, &config.name);
        // Before the first stage it has only those that are to go on.
        if index > 0 || models.policy.adapters().is_empty() {
            models.policy = set_stage_adapter(models.policy, config, recipe.seed)?;
        }
        let mut stage = StageRun::new(recipe, place, corpus, &tokenizer, objectives(config), tokens);
        if let Some(found) = found.take() {
            models = stage.restore(models, found, &host.device)?;
        }
        let ended;
        (models, ended) = stage.train(models, &mut log, host.stop_flag, host.listener)?;
        (steps, tokens) = ((stage.steps_done(), config.steps), stage.tokens());
        if ended == StageOutcome::Interrupted {
            return Ok(RunOutcome { folder: folder.root().to_owned(), steps, interrupted: true });
        }
    }
    Ok(RunOutcome { folder: folder.root().to_owned(), steps, interrupted: false })
}

/// The metrics of a run so far.
///
/// # Errors
/// If the file can't be read.
pub fn load_metrics(paths: &RunPaths) -> Result<Vec<MetricsRow>, RunFolderError> {
    MetricsLog::read(&paths.metrics())
}
