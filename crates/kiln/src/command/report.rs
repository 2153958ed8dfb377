//! The page of a run.

use super::{example, history::History, output::say, picture, trouble::Trouble};
use crate::page::{self, Checkpoint, ModelPicture, Report};
use burn::tensor::Device;
use kiln_data::SourceConfig;
use kiln_models::Model;
use kiln_train::{
    Models, Recipe, RunError, StageConfig,
    folder::{RunPaths, Stage, write_atomic},
    objective::Measure,
    run,
};
use std::path::Path;

/// Tokens that a pattern is drawn over.
const PATTERN: usize = 48;

/// Writes the page of the run at `path`.
pub fn write(path: &Path, device: &Device) -> Result<(), Trouble> {
    let paths = RunPaths::open(path)?;
    let page = page::report(&gather(&paths, device)?);
    write_atomic(&paths.report(), page.as_bytes())?;
    say(&format!("report in {}", paths.report().display()));
    Ok(())
}

/// What a person calls the run in this folder.
pub fn name(path: &Path) -> String {
    let whole = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    whole.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

/// The rows of a run as pages read them.
pub fn rows(paths: &RunPaths) -> Result<Vec<page::Row>, Trouble> {
    let path = paths.metrics();
    let text = std::fs::read_to_string(&path).map_err(|error| RunError::io("read", &path, error))?;
    page::read_rows(&text).map_err(|bad| Trouble::failed("metrics", bad.to_string()).at(path.display().to_string()))
}

/// The run's model with fresh weights, for what does not depend on them; none before the tokenizer is there.
pub fn untrained(paths: &RunPaths, recipe: &Recipe) -> Result<Option<Model>, Trouble> {
    if !paths.tokenizer().exists() {
        return Ok(None);
    }
    let tokenizer = super::tokenizer::open(paths.root())?;
    Ok(Some(Model::outline(&run::model_config(recipe, &tokenizer)?)))
}

fn gather(paths: &RunPaths, device: &Device) -> Result<Report, Trouble> {
    let recipe = run::recipe(paths)?;
    let stage = recipe.stages.last().cloned().unwrap_or_default();
    let history = History::of(&run::metrics(paths)?);
    let model = untrained(paths, &recipe)?;
    let picture = model.as_ref().map(|model| picture::of(model, stage.length, PATTERN));
    Ok(Report {
        name: name(paths.root()),
        objective: stage.objective.name().into(),
        pseudo: stage.objective.build().measure() == Measure::Pseudo,
        facts: facts(&recipe, &stage, picture.as_ref(), device),
        parameters: picture.as_ref().map_or(0, |picture| picture.total_parameters),
        steps: history.steps(),
        tokens: history.tokens(),
        seconds: history.seconds(),
        tokens_per_second: history.tokens_per_second(),
        train_loss: history.train_loss,
        validation_loss: history.validation_loss(),
        floor: history.floor(),
        accepted: history.accepted(),
        bits_per_byte: history.validation.as_ref().map(|row| row.bits_per_byte),
        compression: history.compression.as_ref().map(|row| page::Compression {
            bytes: row.bytes,
            model: Some(row.model_bits_per_byte),
            gzip: Some(row.gzip),
            xz: Some(row.xz),
            zstd: Some(row.zstd),
        }),
        recipe_toml: recipe.to_toml(),
        rows: rows(paths)?,
        model: picture.unwrap_or_default(),
        examples: model.map_or(Ok(Vec::new()), |model| {
            let data = stage.data.as_ref().unwrap_or(&recipe.data);
            let tokenizer = super::tokenizer::open(paths.root())?;
            Ok::<_, Trouble>(example::of(data, &stage, &Models { policy: model }, &tokenizer))
        })?,
        checkpoints: checkpoints(paths, &recipe)?,
    })
}

fn facts(recipe: &Recipe, stage: &StageConfig, model: Option<&ModelPicture>, device: &Device) -> Vec<(String, String)> {
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
        ("A step", format!("{} rows of {} tokens", stage.rows, stage.length)),
        ("Seed", recipe.seed.to_string()),
        ("Device", device),
    ];
    facts.map(|(name, value)| (name.to_string(), value)).to_vec()
}

fn checkpoints(paths: &RunPaths, recipe: &Recipe) -> Result<Vec<Checkpoint>, Trouble> {
    let kept = paths.stages(recipe).iter().map(of_stage).collect::<Result<Vec<_>, _>>()?;
    Ok(kept.concat())
}

fn of_stage(stage: &Stage) -> Result<Vec<Checkpoint>, Trouble> {
    let checkpoints = stage.checkpoints();
    let best = checkpoints.best()?;
    let one = |step: u64| {
        let validation_loss = checkpoints.load_state(step)?.value;
        let bytes = size(&checkpoints.folder(step));
        Ok(Checkpoint { step, validation_loss, bytes, best: best == Some(step) })
    };
    checkpoints.steps()?.into_iter().map(one).collect()
}

fn size(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.metadata().ok()).map(|found| found.len()).sum()
}
