//! A run, from text to a trained model: `text → Tokenizer → Corpus → Batch → Model → Objective → Step → Checkpoint`.
//!
//! The loop is Kiln's own. Burn's learner counts in epochs, saves between them and not within, and keeps no place in
//! the data; a run here goes on from any step, bit for bit. Gradients and their accumulation are Burn's.

mod before;
mod diagnose;
mod load;
mod report;
mod stage;
mod text;
mod watch;

pub use before::model_config;
pub use diagnose::where_it_began;
pub use load::{Loaded, load};
pub use text::{built_in, open, room};
pub use watch::{News, Watch};

use crate::{
    Failure, Objective, Recipe, RunError, StageConfig,
    folder::{Found, Log, RunFolder, RunPaths},
    metrics::Row,
    recompute::Recompute,
};
use before::{adapted, models, there, tokenizer};
use burn::tensor::Device;
use kiln_data::DataError;
use kiln_spec::{Refusal, config::ConfigError};
use load::fill;
use stage::{Ended, StageRun};
use std::{
    fs,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
};

/// What a run needs besides its recipe.
pub struct Host<'a> {
    /// Where it computes, without autodiff.
    pub device: Device,
    /// Set it, and the run ends its step, saves and returns; while it still reads text, it returns at once.
    pub stop: &'a AtomicBool,
    /// Is told what happens.
    pub watch: &'a mut dyn Watch,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// Its folder.
    pub run: std::path::PathBuf,
    /// Steps done, of how many, in the last stage.
    pub steps: (u64, u64),
    /// Whether it was asked to stop.
    pub interrupted: bool,
}

/// From a stage to the objective that it trains for.
pub type Objectives<'a> = &'a dyn Fn(&StageConfig) -> Box<dyn Objective>;

/// The objectives that the stages name.
fn named(stage: &StageConfig) -> Box<dyn Objective> {
    stage.objective.build()
}

/// Starts a run: its folder and recipe are there before any long work.
///
/// # Errors
/// See [`Failure`].
pub fn start(recipe: &Recipe, out: Option<&Path>, host: Host) -> Result<Outcome, Failure> {
    start_with(recipe, out, host, &named)
}

/// The same with objectives written elsewhere, which the recipe can't name.
///
/// # Errors
/// See [`Failure`].
pub fn start_with(recipe: &Recipe, out: Option<&Path>, host: Host, objectives: Objectives) -> Result<Outcome, Failure> {
    let mut recipe = recipe.clone();
    // Resumed from another folder, the run still finds its text.
    std::env::current_dir().iter().for_each(|here| recipe.anchor(here));
    // What can't be found leaves no folder behind, so that the same command may be tried again.
    there(&recipe)?;
    recomputes(&recipe, &host.device)?;
    let folder = RunFolder::create(out, &recipe.name, &recipe.to_toml())?;
    host.watch.tell(News::Opened(folder.root()));
    go_or_stop(&recipe, &folder, host, objectives, None)
}

/// Recomputing is an operation that only flex has.
fn recomputes(recipe: &Recipe, device: &Device) -> Result<(), Failure> {
    let asks = recipe.stages.iter().position(|stage| stage.recompute != Recompute::None);
    let Some(stage) = asks.filter(|_| *device != Device::flex()) else { return Ok(()) };
    let refusal = Refusal::new(format!("stages[{stage}].recompute"), "blocks are computed again on `flex` only so far");
    Err(ConfigError::from(refusal.instead("recompute = \"none\", or --device flex")).into())
}

/// Goes on with a run from its last checkpoint, or from step 0 if it saved nothing yet. The recipe is the run's own.
///
/// # Errors
/// See [`Failure`]; a damaged checkpoint is an error, never passed over.
pub fn resume(path: &Path, host: Host) -> Result<Outcome, Failure> {
    resume_with(path, host, &named)
}

/// The same with the objectives that the run was started with.
///
/// # Errors
/// See [`Failure`].
pub fn resume_with(path: &Path, host: Host, objectives: Objectives) -> Result<Outcome, Failure> {
    let folder = RunFolder::open(path)?;
    let recipe = recipe(&folder)?;
    recomputes(&recipe, &host.device)?;
    host.watch.tell(News::Opened(folder.root()));
    let found = folder.resume(&recipe)?;
    go_or_stop(&recipe, &folder, host, objectives, found)
}

/// The recipe of a run.
///
/// # Errors
/// If the folder holds none that can be read.
pub fn recipe(paths: &RunPaths) -> Result<Recipe, Failure> {
    let path = paths.recipe();
    let text = fs::read_to_string(&path).map_err(|error| RunError::io("read", &path, error))?;
    let name = path.display().to_string();
    let nothing = |name: &str, _: Option<&str>| {
        Err(ConfigError::from(Refusal::new("extends", format!("a run's recipe is whole, found `{name}`"))))
    };
    Ok(Recipe::load(&text, Some(&name), &[], &nothing)?)
}

/// A run that is stopped while it reads text stands where it was saved last.
fn go_or_stop(
    recipe: &Recipe,
    folder: &RunFolder,
    host: Host,
    objectives: Objectives,
    found: Option<Found>,
) -> Result<Outcome, Failure> {
    match go(recipe, folder, host, objectives, found) {
        Err(Failure::Data(DataError::Stopped { .. })) => {}
        ended => return ended,
    }
    let (index, step) = folder.newest(recipe)?.map_or((0, 0), |(stage, step)| (stage.index, step));
    let all = recipe.stages.get(index).map_or(0, |stage| stage.steps);
    Ok(Outcome { run: folder.root().to_owned(), steps: (step, all), interrupted: true })
}

fn go(
    recipe: &Recipe,
    folder: &RunFolder,
    host: Host,
    objectives: Objectives,
    mut found: Option<Found>,
) -> Result<Outcome, Failure> {
    let stop = || host.stop.load(Ordering::Relaxed);
    let tokenizer = tokenizer(recipe, folder, &stop, host.watch)?;
    let mut models = models(recipe, &tokenizer, &host.device, found.is_none())?;
    let first = found.as_ref().map_or(0, |found| found.stage.index);
    let step = found.as_ref().map_or(0, |found| found.checkpoint.state.step);
    let earlier: u64 = recipe.stages.iter().take(first).map(|stage| stage.steps).sum();
    let mut log = match found {
        Some(_) => Log::truncate_after(&folder.metrics(), earlier + step)?,
        // What was measured before the first step is measured again.
        None => Log::truncate_before_first(&folder.metrics())?,
    };
    let (mut steps, mut tokens) = ((0, 0), 0);
    for (index, config) in recipe.stages.iter().enumerate().skip(first) {
        let corpus = text::corpus(config.data(recipe), &tokenizer, folder, &stop, host.watch)?;
        let place = folder.stage(index, &config.name);
        // Before the first stage it has only those that are to go on.
        if index > 0 || models.policy.adapters().is_empty() {
            models.policy = adapted(models.policy, config, recipe.seed)?;
        }
        let mut stage = StageRun::new(recipe, place, corpus, &tokenizer, objectives(config), tokens);
        if let Some(found) = found.take() {
            models = stage.restore(models, found, &host.device)?;
        }
        let ended;
        (models, ended) = stage.train(models, &mut log, host.stop, host.watch)?;
        (steps, tokens) = ((stage.done(), config.steps), stage.tokens());
        if ended == Ended::Interrupted {
            return Ok(Outcome { run: folder.root().to_owned(), steps, interrupted: true });
        }
    }
    Ok(Outcome { run: folder.root().to_owned(), steps, interrupted: false })
}

/// The metrics of a run so far.
///
/// # Errors
/// If the file can't be read.
pub fn metrics(paths: &RunPaths) -> Result<Vec<Row>, RunError> {
    Log::read(&paths.metrics())
}
