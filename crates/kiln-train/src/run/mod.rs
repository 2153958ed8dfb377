//! A run, from text to a trained model: `text → Tokenizer → Corpus → Batch → Model → Objective → Step → Checkpoint`.
//!
//! The loop is Kiln's own. Burn's learner counts in epochs, saves between them and not within, and keeps no place in
//! the data; a run here goes on from any step, bit for bit. Gradients and their accumulation are Burn's.

mod diagnose;
mod stage;
mod text;
mod watch;

pub use text::{built_in, open};
pub use watch::{News, Watch};

use crate::{
    Failure, Models, Recipe, RunError,
    checkpoint::{Fingerprints, sha256},
    folder::{Found, Log, RunFolder, RunPaths},
    metrics::Row,
    weights::to_values,
};
use burn::tensor::Device;
use kiln_data::Tokenizer;
use kiln_models::{Model, ModelConfig, filled};
use kiln_spec::{Refusal, config::ConfigError};
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

/// Starts a run: its folder and recipe are there before any long work.
///
/// # Errors
/// See [`Failure`].
pub fn start(recipe: &Recipe, out: Option<&Path>, host: Host) -> Result<Outcome, Failure> {
    let folder = RunFolder::create(out, &recipe.name, &recipe.to_toml())?;
    host.watch.tell(News::Opened(folder.root()));
    go(recipe, &folder, host, None)
}

/// Goes on with a run from its last checkpoint, or from step 0 if it saved nothing yet. The recipe is the run's own.
///
/// # Errors
/// See [`Failure`]; a damaged checkpoint is an error, never passed over.
pub fn resume(path: &Path, host: Host) -> Result<Outcome, Failure> {
    let folder = RunFolder::open(path)?;
    let recipe = recipe(&folder)?;
    host.watch.tell(News::Opened(folder.root()));
    let found = folder.resume()?;
    go(&recipe, &folder, host, found)
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

/// A finished or unfinished run's model, best or last checkpoint, ready to be used.
pub struct Loaded {
    /// The model, on the plain device.
    pub model: Model,
    /// Its tokenizer.
    pub tokenizer: Tokenizer,
    /// The recipe of the run.
    pub recipe: Recipe,
    /// Steps that it was trained for.
    pub step: u64,
}

/// Loads the best checkpoint of a run's last stage, or its newest if none was measured.
///
/// # Errors
/// If there is none, or it is damaged.
pub fn load(path: &Path, device: &Device) -> Result<Loaded, Failure> {
    let paths = RunPaths::open(path)?;
    let recipe = recipe(&paths)?;
    let none = || RunError::NotARun { path: path.to_owned(), found: "no checkpoint yet".into() };
    let (stage, newest) = paths.newest()?.ok_or_else(none)?;
    let step = stage.checkpoints().best()?.unwrap_or(newest);
    let tokenizer = fs::read_to_string(paths.tokenizer()).map_err(|e| RunError::io("read", &paths.tokenizer(), e))?;
    let tokenizer = Tokenizer::from_json(&tokenizer)?;
    let model = Model::init(&model_config(&recipe, &tokenizer)?, recipe.seed, device);
    let file = stage.checkpoints().folder(step).join(crate::checkpoint::MODEL);
    let (_, tensors) = stage.checkpoints().load_model(step)?;
    Ok(Loaded { model: fill(model, tensors, &file)?, tokenizer, recipe, step })
}

fn fill(model: Model, tensors: crate::checkpoint::Tensors, file: &Path) -> Result<Model, Failure> {
    let odd = || Failure::Tensor { file: file.to_owned(), tensor: "a tensor of another type".into() };
    let values = to_values(tensors).ok_or_else(odd)?;
    filled(model, values).map_err(|mismatch| Failure::Weights { file: file.to_owned(), mismatch })
}

fn go(recipe: &Recipe, folder: &RunFolder, host: Host, found: Option<Found>) -> Result<Outcome, Failure> {
    let tokenizer = first_tokenizer(recipe, folder, host.watch)?;
    let device = host.device.clone().autodiff();
    let mut model = Model::init(&model_config(recipe, &tokenizer)?, recipe.seed, &device);
    if let Some(from) = recipe.from.as_ref().filter(|_| found.is_none()) {
        let weights = kiln_models::values(&load(Path::new(from), &host.device)?.model);
        model = filled(model, weights).map_err(|mismatch| Failure::Weights { file: from.into(), mismatch })?;
    }
    let mut models = Models { policy: model };
    let first = found.as_ref().map_or(0, |found| found.stage.index);
    let step = found.as_ref().map_or(0, |found| found.checkpoint.state.step);
    let earlier: u64 = recipe.stages.iter().take(first).map(|stage| stage.steps).sum();
    let mut log = Log::truncate_after(&folder.metrics(), earlier + step)?;
    let mut found = found;
    let mut steps = (0, 0);
    for (index, config) in recipe.stages.iter().enumerate().skip(first) {
        let data = config.data.as_ref().unwrap_or(&recipe.data);
        let corpus = text::corpus(data, &tokenizer, folder, host.watch)?;
        let fingerprints = Fingerprints {
            recipe: sha256(recipe.to_toml().as_bytes()),
            tokenizer: tokenizer.fingerprint(),
            corpus: corpus.training.fingerprint().to_string(),
        };
        let place = folder.stage(index, &config.name);
        let mut stage = StageRun::new(recipe, config, data, place, corpus, &tokenizer, fingerprints);
        if let Some(found) = found.take() {
            models = stage.restore(models, found, &host.device)?;
        }
        let ended;
        (models, ended) = stage.train(models, &mut log, host.stop, host.watch)?;
        steps = (stage.done(), config.steps);
        if ended == Ended::Interrupted {
            return Ok(Outcome { run: folder.root().to_owned(), steps, interrupted: true });
        }
    }
    Ok(Outcome { run: folder.root().to_owned(), steps, interrupted: false })
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
