//! A run, from text to a trained model: `text → Tokenizer → Corpus → Batch → Model → Objective → Step → Checkpoint`.
//!
//! The loop is Kiln's own. Burn's learner counts in epochs, saves between them and not within, and keeps no place in
//! the data; a run here goes on from any step, bit for bit. Gradients and their accumulation are Burn's.

mod diagnose;
mod load;
mod report;
mod stage;
mod text;
mod watch;

pub use diagnose::where_it_began;
pub use load::{Loaded, load};
pub use text::{built_in, open};
pub use watch::{News, Watch};

use crate::{
    Failure, Models, Objective, Recipe, RunError, StageConfig,
    folder::{Found, Log, RunFolder, RunPaths},
    metrics::Row,
};
use burn::tensor::Device;
use kiln_data::Tokenizer;
use kiln_models::{Model, ModelConfig, filled};
use kiln_spec::{Refusal, config::ConfigError};
use load::fill;
use stage::{Ended, StageRun};
use std::{fs, path::Path, sync::atomic::AtomicBool};

/// What a run needs besides its recipe.
pub struct Host<'a> {
    /// Where it computes, without autodiff.
    pub device: Device,
    /// Set it, and the run ends its step, saves and returns.
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
    let folder = RunFolder::create(out, &recipe.name, &recipe.to_toml())?;
    host.watch.tell(News::Opened(folder.root()));
    go(&recipe, &folder, host, objectives, None)
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
    host.watch.tell(News::Opened(folder.root()));
    let found = folder.resume()?;
    go(&recipe, &folder, host, objectives, found)
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

/// The model that a recipe describes, with as many tokens as the tokenizer has.
///
/// # Errors
/// If the recipe asks for another number of tokens.
pub fn model_config(recipe: &Recipe, tokenizer: &Tokenizer) -> Result<ModelConfig, Failure> {
    let (asked, found) = (recipe.model.vocab, tokenizer.vocab());
    if asked != 0 && asked != found {
        let reason = format!("the model has {asked} tokens, the tokenizer {found}");
        return Err(ConfigError::from(Refusal::new("model.vocab", reason).instead("vocab = 0")).into());
    }
    let mut config = ModelConfig { vocab: found, ..recipe.model.clone() };
    config.resolve();
    Ok(config)
}

fn go(
    recipe: &Recipe,
    folder: &RunFolder,
    host: Host,
    objectives: Objectives,
    mut found: Option<Found>,
) -> Result<Outcome, Failure> {
    let tokenizer = first_tokenizer(recipe, folder, host.watch)?;
    let mut models = first_models(recipe, &tokenizer, &host.device, found.is_none())?;
    let first = found.as_ref().map_or(0, |found| found.stage.index);
    let step = found.as_ref().map_or(0, |found| found.checkpoint.state.step);
    let earlier: u64 = recipe.stages.iter().take(first).map(|stage| stage.steps).sum();
    let mut log = Log::truncate_after(&folder.metrics(), earlier + step)?;
    let (mut steps, mut tokens) = ((0, 0), 0);
    for (index, config) in recipe.stages.iter().enumerate().skip(first) {
        let corpus = text::corpus(config.data(recipe), &tokenizer, folder, host.watch)?;
        let place = folder.stage(index, &config.name);
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

/// The models before the first step; `fresh` ones begin where the recipe says.
fn first_models(recipe: &Recipe, tokenizer: &Tokenizer, device: &Device, fresh: bool) -> Result<Models, Failure> {
    let mut policy = Model::init(&model_config(recipe, tokenizer)?, recipe.seed, &device.clone().autodiff());
    if let Some(from) = recipe.from.as_ref().filter(|_| fresh) {
        let weights = kiln_models::values(&load(Path::new(from), device)?.model);
        policy = filled(policy, weights).map_err(|mismatch| Failure::Weights { file: from.into(), mismatch })?;
    }
    Ok(Models { policy })
}

/// A run that starts from another one keeps its tokenizer.
fn first_tokenizer(recipe: &Recipe, folder: &RunFolder, watch: &mut dyn Watch) -> Result<Tokenizer, Failure> {
    if let Some(from) = recipe.from.as_ref().filter(|_| !folder.tokenizer().exists()) {
        let path = RunPaths::open(Path::new(from))?.tokenizer();
        let text = fs::read(&path).map_err(|error| RunError::io("read", &path, error))?;
        crate::folder::write_atomic(&folder.tokenizer(), &text)?;
    }
    text::tokenizer(recipe, folder, watch)
}

/// The metrics of a run so far.
///
/// # Errors
/// If the file can't be read.
pub fn metrics(paths: &RunPaths) -> Result<Vec<Row>, RunError> {
    Log::read(&paths.metrics())
}
