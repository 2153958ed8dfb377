//! Training runs: `text → Tokenizer → Corpus → Batch → Model → Objective → step → Checkpoint`.
//!
//! [`start`] trains a recipe in a new run folder. [`resume`] continues a run from its last checkpoint to the same bits.
//! [`load`](load()) loads the trained model.
//!
//! Kiln has its own training loop: Burn's learner counts in epochs, saves between epochs only, and does not save the
//! position in the data. Gradients and their accumulation are Burn's.

mod check_sources;
mod checkpoint_choice;
mod corpora;
mod data;
mod data_settings;
mod diagnose;
mod epochs;
mod frozen;
mod load;
mod name_patterns;
mod objectives;
mod progress;
mod setup;
mod stage_output;
mod stage_run;
mod stage_step;

pub use checkpoint_choice::{CheckpointChoice, RunCheckpoint, split_checkpoint};
pub use data::{is_builtin_stories, open_data, token_storage};
pub use diagnose::find_non_finite;
pub use load::{LoadedRun, load, load_checkpoint, load_tokenizer};
pub use objectives::ObjectiveFactory;
pub use progress::{ProgressEvent, ProgressListener};
pub use setup::model_config;

use crate::{
    Recipe, RunFolderError, TrainError,
    gradient_checkpointing::GradientCheckpointing,
    metrics::MetricsRow,
    run_folder::{MetricsLog, ResumePoint, RunFolder, RunPaths},
};
use burn::tensor::Device;
use check_sources::check_sources;
use corpora::Corpora;
use epochs::resolve_epochs;
use frozen::FrozenStage;
use kiln_data::DataError;
use kiln_spec::{
    ValidationError,
    config::{ConfigError, ConfigErrorKind},
};
use load::load_weights;
use objectives::recipe_objective;
use setup::{init_models, prepare_tokenizer, set_stage_adapter};
use stage_run::{StageOutcome, StageRun};
use std::{
    fs,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
};

/// Environment of a run: device, stop flag and progress listener.
pub struct RunContext<'a> {
    /// Device of the computation, without autodiff.
    pub device: Device,
    /// When it is set, the run completes its step, saves a checkpoint and returns. While data are read, it returns at once.
    pub stop_flag: &'a AtomicBool,
    /// Listener for progress events.
    pub listener: &'a mut dyn ProgressListener,
}

/// Result of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct RunOutcome {
    /// The run folder.
    pub folder: std::path::PathBuf,
    /// Number of completed steps, and number of all steps, of the last stage that was run.
    pub steps: (u64, u64),
    /// Whether the run was stopped by the stop flag.
    pub interrupted: bool,
}

/// Starts a run of a resolved recipe in the folder `out`, or else in the first free one of `runs/<name>`, `runs/<name>-2`, ….
///
/// The sources and their first rows, and the settings that need no data, are checked before the folder is created. Folder and
/// recipe are written before all data are read. An error in the text or in a setting that is found later removes the folder,
/// if it has no checkpoint.
///
/// # Errors
/// See [`TrainError`].
pub fn start(recipe: &Recipe, out: Option<&Path>, context: RunContext) -> Result<RunOutcome, TrainError> {
    start_with_objectives(recipe, out, context, &recipe_objective)
}

/// [`start`] with objectives that are implemented elsewhere, instead of those that the recipe names. Their names are written
/// into the recipe of the run.
///
/// # Errors
/// See [`TrainError`].
pub fn start_with_objectives(
    recipe: &Recipe,
    out: Option<&Path>,
    context: RunContext,
    objectives: ObjectiveFactory,
) -> Result<RunOutcome, TrainError> {
    let mut recipe = recipe.clone();
    // Relative paths are stored as absolute ones, so that the run can be resumed from another folder.
    if let Ok(current) = std::env::current_dir() {
        recipe.resolve_paths(&current);
    }
    // Sources are checked before the folder is created, so that the same command can be repeated after an error.
    check_gradient_checkpointing(&recipe, &context.device)?;
    objectives::record(&mut recipe, objectives)?;
    name_patterns::check_name_patterns(&recipe)?;
    let stop = || context.stop_flag.load(Ordering::Relaxed);
    check_sources(&mut recipe, objectives, &stop, context.listener)?;
    let folder = RunFolder::create(out, &recipe.name, &recipe.to_toml())?;
    let RunContext { device, stop_flag, listener } = context;
    listener.on_event(ProgressEvent::RunOpened(folder.root()));
    let context = RunContext { device, stop_flag, listener };
    let result = run_until_stopped(recipe.clone(), &folder, context, objectives, None);
    match result {
        Err(error) if is_mistake_in_input(&error) && folder.newest_checkpoint(&recipe)?.is_none() => {
            let root = folder.root().to_owned();
            folder.remove()?;
            listener.on_event(ProgressEvent::RunRemoved(&root));
            Err(error)
        }
        result => result,
    }
}

/// Whether an error is one of the text or of a setting: the same command can be repeated once that is corrected.
fn is_mistake_in_input(error: &TrainError) -> bool {
    match error {
        TrainError::Config(_) => true,
        TrainError::Data(error) => error.is_text_error(),
        _ => false,
    }
}

/// Checks that the device supports gradient checkpointing, if a stage uses it.
fn check_gradient_checkpointing(recipe: &Recipe, device: &Device) -> Result<(), TrainError> {
    let stage = recipe.stages.iter().position(|stage| stage.gradient_checkpointing != GradientCheckpointing::None);
    let Some(stage) = stage.filter(|_| *device != Device::flex()) else { return Ok(()) };
    let path = format!("stages[{stage}].gradient_checkpointing");
    let error = ValidationError::new(path, "gradient checkpointing requires the device `flex`");
    Err(ConfigError::from(error.with_suggestion("gradient_checkpointing = \"none\", or --device flex")).into())
}

/// Resumes the run in the folder `path` from its last checkpoint, or from step 0 if it has none, with its own recipe.
///
/// The results are bit-identical to those of a run that was never interrupted.
///
/// # Errors
/// See [`TrainError`]. A damaged checkpoint is an error: an older one is not used instead.
pub fn resume(path: &Path, context: RunContext) -> Result<RunOutcome, TrainError> {
    resume_with_objectives(path, context, &recipe_objective)
}

/// [`resume`] with objectives that are implemented elsewhere. They must be those that the run was started with: others
/// are refused by their names.
///
/// # Errors
/// See [`TrainError`].
pub fn resume_with_objectives(
    path: &Path,
    context: RunContext,
    objectives: ObjectiveFactory,
) -> Result<RunOutcome, TrainError> {
    let folder = RunFolder::open(path)?;
    let recipe = load_own_recipe(&folder)?;
    objectives::verify(&recipe, objectives).map_err(|error| error.with_file(&folder.recipe()))?;
    check_gradient_checkpointing(&recipe, &context.device)?;
    context.listener.on_event(ProgressEvent::RunOpened(folder.root()));
    let resume_point = folder.find_resume_point(&recipe)?;
    run_until_stopped(recipe, &folder, context, objectives, resume_point)
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
    let recipe = Recipe::load_unchanged(&text, Some(&file)).map_err(|mut error| {
        if let ConfigErrorKind::Renamed { advice, .. } = &mut *error.kind {
            let run = paths.root().display();
            *advice =
                Some(format!("this run cannot be resumed; to use its weights, start a new run with --from {run}"));
        }
        error
    });
    Ok(recipe?)
}

/// The text of a run's `recipe.toml`, and its path for errors.
fn read_recipe(paths: &RunPaths) -> Result<(String, String), TrainError> {
    let path = paths.recipe();
    let text = fs::read_to_string(&path).map_err(|error| RunFolderError::from_io("read", &path, error))?;
    Ok((text, path.display().to_string()))
}

/// Runs all stages. A run that is stopped while it reads data has the outcome of its last checkpoint.
fn run_until_stopped(
    mut recipe: Recipe,
    folder: &RunFolder,
    context: RunContext,
    objectives: ObjectiveFactory,
    resume_point: Option<ResumePoint>,
) -> Result<RunOutcome, TrainError> {
    match run_stages(&mut recipe, folder, context, objectives, resume_point) {
        Err(TrainError::Data(DataError::Stopped { .. })) => {}
        result => return result,
    }
    let (index, step) = folder.newest_checkpoint(&recipe)?.map_or((0, 0), |(stage, step)| (stage.index, step));
    let steps = recipe.stages.get(index).map_or(0, |stage| stage.steps);
    Ok(RunOutcome { folder: folder.root().to_owned(), steps: (step, steps), interrupted: true })
}

/// Runs the stages from that of `resume_point` on, or all.
fn run_stages(
    recipe: &mut Recipe,
    folder: &RunFolder,
    context: RunContext,
    objectives: ObjectiveFactory,
    mut resume_point: Option<ResumePoint>,
) -> Result<RunOutcome, TrainError> {
    let stop = || context.stop_flag.load(Ordering::Relaxed);
    let tokenizer = prepare_tokenizer(recipe, folder, &stop, context.listener)?;
    let mut corpora = Corpora::default();
    resolve_epochs(recipe, &tokenizer, folder, &mut corpora, &stop, context.listener)?;
    let recipe = &*recipe;
    let mut models = init_models(recipe, &tokenizer, &context.device, resume_point.is_some())?;
    let mut log = open_metrics_log(recipe, folder, resume_point.as_ref())?;
    let first = resume_point.as_ref().map_or(0, |point| point.stage.index);
    let mut outcome = RunOutcome { folder: folder.root().to_owned(), steps: (0, 0), interrupted: false };
    let mut tokens = 0;
    for (index, config) in recipe.stages.iter().enumerate().skip(first) {
        if index > first && stop() {
            outcome.interrupted = true;
            break;
        }
        let data = config.data_config(recipe);
        let corpus = corpora.get(data, &tokenizer, folder, &stop, context.listener)?;
        corpora.retain(|data| recipe.stages[index..].iter().any(|stage| stage.data_config(recipe) == data));
        let objective = objectives(config);
        data_settings::check_required_texts(&*objective, &corpus, index, context.listener)?;
        let stage_folder = folder.stage(index, &config.name);
        // Before the first stage, the model has adapters only if that stage continues to train them.
        if index > 0 || models.policy.adapters().is_empty() {
            models.policy = set_stage_adapter(models.policy, config, recipe.seed)?;
        }
        let device = &context.device;
        let is_resumed = resume_point.is_some();
        let frozen_stage = FrozenStage { recipe, folder, tokenizer: &tokenizer, device, index, is_resumed };
        models.frozen = frozen_stage.build(&*objective, &models)?;
        let mut stage = StageRun::new(recipe, stage_folder, corpus, &tokenizer, objective, tokens);
        if let Some(point) = resume_point.take() {
            models = stage.restore(models, point, &context.device)?;
        }
        let stage_outcome;
        (models, stage_outcome) = stage.train(models, &mut log, context.stop_flag, context.listener)?;
        outcome.steps = (stage.steps_done(), config.steps);
        tokens = stage.tokens();
        if stage_outcome == StageOutcome::Interrupted {
            outcome.interrupted = true;
            break;
        }
    }
    Ok(outcome)
}

/// The metrics file without the rows after the checkpoint. Without a checkpoint only earlier events are kept: the
/// evaluation before the first step is repeated.
fn open_metrics_log(
    recipe: &Recipe,
    folder: &RunFolder,
    resume_point: Option<&ResumePoint>,
) -> Result<MetricsLog, RunFolderError> {
    let Some(point) = resume_point else { return MetricsLog::truncate_to_events(&folder.metrics()) };
    let earlier_steps: u64 = recipe.stages.iter().take(point.stage.index).map(|stage| stage.steps).sum();
    MetricsLog::truncate_after(&folder.metrics(), earlier_steps + point.checkpoint.state.step)
}

/// Reads the metrics of a run.
///
/// # Errors
/// If the file cannot be read, or a line is not a valid row.
pub fn load_metrics(paths: &RunPaths) -> Result<Vec<MetricsRow>, RunFolderError> {
    MetricsLog::read(&paths.metrics())
}
