//! Start and resume of a run in any storage.

use super::{
    Environment, ProgressEvent, RunContext, RunOutcome, check_sources::check_sources, frozen, name_patterns,
    objectives, precision, recipe_file::load_own_recipe, stages::run_until_stopped,
};
use crate::{Recipe, TrainError, gradient_checkpointing::GradientCheckpointing, run_folder::RunFolder};
use burn::tensor::Device;
use kiln_spec::{ValidationError, config::ConfigError};
use std::{path::Path, sync::atomic::Ordering};

/// Starts a run of a resolved recipe in the folder `out` of the storage, or else in the first free one of `runs/<name>`,
/// `runs/<name>-2`, ….
///
/// Outside of the file system, files that the data name are read from the storage: texts and rows, such as `data/chats.jsonl`.
///
/// The sources and their first rows, and the settings that need no data, are checked before the folder is created. Folder and
/// recipe are written before all data are read. An error in the text or in a setting that is found later removes the folder,
/// if it has no checkpoint. Names of objectives that the recipe does not name are written into the recipe of the run.
///
/// # Errors
/// See [`TrainError`].
pub async fn start_in(
    recipe: &Recipe,
    out: Option<&Path>,
    environment: &Environment<'_>,
    context: RunContext<'_>,
) -> Result<RunOutcome, TrainError> {
    let (mut recipe, objectives) = (recipe.clone(), environment.objectives);
    // Sources are checked before the folder is created, so that the same command can be repeated after an error.
    check_gradient_checkpointing(&recipe, &context.device)?;
    objectives::record(&mut recipe, objectives)?;
    name_patterns::check_name_patterns(&recipe)?;
    precision::resolve(&mut recipe, &context.device)?;
    let stop = || context.stop_flag.load(Ordering::Relaxed);
    check_sources(&mut recipe, objectives, &*environment.storage, &stop, context.listener)?;
    frozen::check_frozen_sources(&recipe, objectives)?;
    let folder = RunFolder::create_in(environment.storage.clone(), out, &recipe.name, &recipe.to_toml())?;
    let RunContext { device, stop_flag, listener } = context;
    listener.on_event(ProgressEvent::RunOpened(folder.root()));
    let context = RunContext { device, stop_flag, listener };
    let result = run_until_stopped(recipe.clone(), &folder, context, environment, None).await;
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

/// Resumes the run in the folder `path` of the storage from its last checkpoint, or from step 0 if it has none, with its own
/// recipe. Objectives that are implemented elsewhere must be those that the run was started with: others are refused by their
/// names.
///
/// The results are bit-identical to those of a run that was never interrupted.
///
/// # Errors
/// See [`TrainError`]. A damaged checkpoint is an error: an older one is not used instead.
pub async fn resume_in(
    path: &Path,
    environment: &Environment<'_>,
    context: RunContext<'_>,
) -> Result<RunOutcome, TrainError> {
    let folder = RunFolder::open_in(environment.storage.clone(), path)?;
    let recipe = load_own_recipe(&folder)?;
    objectives::verify(&recipe, environment.objectives).map_err(|error| error.with_file(&folder.recipe()))?;
    check_gradient_checkpointing(&recipe, &context.device)?;
    precision::check_device(&recipe, &context.device)?;
    context.listener.on_event(ProgressEvent::RunOpened(folder.root()));
    let resume_point = folder.find_resume_point(&recipe)?;
    run_until_stopped(recipe, &folder, context, environment, resume_point).await
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
