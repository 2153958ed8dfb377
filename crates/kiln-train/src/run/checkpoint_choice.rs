//! The checkpoint of a run that is used as a model: `RUN`, `RUN@best`, `RUN@last`, `RUN@STEP`.

use super::load_recipe;
use crate::{
    Recipe, RunFolderError, StageConfig, TrainError,
    run_folder::{RunPaths, StageFolder},
};
#[cfg(feature = "files")]
use std::path::{Path, PathBuf};

/// Which checkpoint of a run is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CheckpointChoice {
    /// The one with the smallest validation loss in the last stage that has a checkpoint; the last one if none was
    /// evaluated.
    #[default]
    Best,
    /// The last one.
    Last,
    /// The one of this step, counted over the whole run as in `metrics.jsonl`.
    Step(u64),
}

/// A checkpoint of a run, found but not read.
#[derive(Clone, Debug)]
pub struct RunCheckpoint {
    /// The recipe of the run.
    pub recipe: Recipe,
    /// The stage of the checkpoint.
    pub stage: StageFolder,
    /// Its step within the stage.
    pub step: u64,
}

impl RunCheckpoint {
    /// Finds a checkpoint of the run in a folder on disk.
    ///
    /// # Errors
    /// If the folder is no run, or the run has no such checkpoint.
    #[cfg(feature = "files")]
    pub fn find(folder: &Path, choice: CheckpointChoice) -> Result<Self, TrainError> {
        Self::find_in(&RunPaths::open(folder)?, choice)
    }

    /// Finds a checkpoint of a run in any storage.
    ///
    /// # Errors
    /// If the run has no such checkpoint.
    pub fn find_in(paths: &RunPaths, choice: CheckpointChoice) -> Result<Self, TrainError> {
        let recipe = load_recipe(paths)?;
        let (stage, step) = match choice {
            CheckpointChoice::Step(step) => checkpoint_at(paths, &recipe, step)?,
            CheckpointChoice::Best | CheckpointChoice::Last => {
                let Some((stage, last)) = paths.newest_checkpoint(&recipe)? else {
                    let found = "no checkpoint yet".into();
                    return Err(RunFolderError::NotRunFolder { path: paths.root().to_owned(), found }.into());
                };
                let best = if choice == CheckpointChoice::Best { stage.checkpoints().best_step()? } else { None };
                (stage, best.unwrap_or(last))
            }
        };
        Ok(Self { recipe, stage, step })
    }

    /// The configuration of its stage.
    pub fn stage_config(&self) -> &StageConfig {
        &self.recipe.stages[self.stage.index]
    }

    /// Its step, counted over the whole run.
    pub fn run_step(&self) -> u64 {
        steps_before(&self.recipe, self.stage.index) + self.step
    }
}

/// Number of steps of the stages before the one with this index.
fn steps_before(recipe: &Recipe, stage: usize) -> u64 {
    recipe.stages.iter().take(stage).map(|stage| stage.steps).sum()
}

/// The checkpoint after a step of the run.
fn checkpoint_at(paths: &RunPaths, recipe: &Recipe, run_step: u64) -> Result<(StageFolder, u64), TrainError> {
    let mut saved = saved_checkpoints(paths, recipe)?.into_iter();
    let found = saved.find(|(stage, step)| steps_before(recipe, stage.index) + step == run_step);
    found.map_or_else(|| Err(no_checkpoint(paths, &run_step.to_string())), Ok)
}

/// All checkpoints of a run as stage and step, in order.
fn saved_checkpoints(paths: &RunPaths, recipe: &Recipe) -> Result<Vec<(StageFolder, u64)>, TrainError> {
    let mut saved = Vec::new();
    for stage in paths.stages(recipe) {
        saved.extend(stage.checkpoints().steps()?.into_iter().map(|step| (stage.clone(), step)));
    }
    Ok(saved)
}

/// The error of a checkpoint that does not exist. It lists the steps that do.
fn no_checkpoint(paths: &RunPaths, wanted: &str) -> TrainError {
    let run_steps = |recipe: Recipe| {
        let saved = saved_checkpoints(paths, &recipe)?.into_iter();
        Ok(saved.map(|(stage, step)| steps_before(&recipe, stage.index) + step).collect())
    };
    match load_recipe(paths).and_then(run_steps) {
        Ok(saved) => RunFolderError::NoCheckpoint { run: paths.root().to_owned(), wanted: wanted.into(), saved }.into(),
        Err(error) => error,
    }
}

/// Splits `RUN@STEP`, `RUN@best` and `RUN@last` into the run folder and the checkpoint. `None` for any other path: one that
/// exists, or whose part before the last `@` is no run folder.
///
/// # Errors
/// If a run folder is followed by something else than a step, `best` or `last`.
#[cfg(feature = "files")]
pub fn split_checkpoint(path: &Path) -> Result<Option<(PathBuf, CheckpointChoice)>, TrainError> {
    let Some((run, wanted)) = path.to_str().and_then(|text| text.rsplit_once('@')) else { return Ok(None) };
    let run = PathBuf::from(run);
    let Ok(paths) = RunPaths::open(&run) else { return Ok(None) };
    if path.exists() {
        return Ok(None);
    }
    let choice = match wanted {
        "best" => CheckpointChoice::Best,
        "last" => CheckpointChoice::Last,
        step => match step.parse() {
            Ok(step) => CheckpointChoice::Step(step),
            Err(_) => return Err(no_checkpoint(&paths, wanted)),
        },
    };
    Ok(Some((run, choice)))
}

#[cfg(all(test, feature = "files"))]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn only_a_run_folder_has_checkpoints_after_an_at_sign() {
        let home = tempfile::tempdir().unwrap();
        let at = |name: &str| home.path().join(name);
        fs::create_dir_all(at("run/stages/0-pretrain/checkpoints/step-000012")).unwrap();
        fs::write(at("run/recipe.toml"), Recipe::default().to_toml()).unwrap();
        fs::create_dir(at("run@7")).unwrap();
        fs::create_dir(at("model")).unwrap();
        let split = |name: &str| split_checkpoint(&at(name)).unwrap();
        assert_eq!(split("run@12"), Some((at("run"), CheckpointChoice::Step(12))));
        assert_eq!(split("run@best"), Some((at("run"), CheckpointChoice::Best)));
        assert_eq!(split("run@last"), Some((at("run"), CheckpointChoice::Last)));
        for name in ["run", "run@7", "model@12", "gone@best"] {
            assert_eq!(split(name), None, "{name}");
        }
        let error = split_checkpoint(&at("run@bset")).unwrap_err();
        assert!(error.to_string().ends_with("no checkpoint `bset`, found those of the steps 12"), "{error}");
        assert!(error.help().unwrap().contains("@best"), "{error:?}");
    }
}
