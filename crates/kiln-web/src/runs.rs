//! Calls `runs`, `metrics`, `delete`.

use crate::{Answer, Session, SessionError};
use kiln_train::{
    Recipe, RunFolderError,
    metrics::{EventKind, MetricsRow},
    run::{load_metrics, load_recipe},
    run_folder::RunPaths,
    storage::Storage,
};
use serde::Deserialize;
use serde_json::{Value, json};
use std::{
    path::{Component, Path, PathBuf},
    sync::Arc,
};

/// Folder of all runs.
const RUNS: &str = "runs";

/// The name of a run.
#[derive(Deserialize)]
pub struct RunArguments {
    /// Name of its folder.
    pub run: String,
}

/// The folder of a run.
pub fn run_folder(run: &str) -> PathBuf {
    Path::new(RUNS).join(run)
}

/// How far a run is.
pub struct Progress {
    /// Step of the last checkpoint, counted over the whole run.
    pub step: u64,
    /// Number of all steps.
    pub steps: u64,
    /// Whether the last checkpoint is of the last stage.
    is_last_stage: bool,
}

impl Session {
    /// The files of a run.
    ///
    /// # Errors
    /// If there is no run of this name.
    pub(crate) fn paths(&self, run: &str) -> Result<RunPaths, RunFolderError> {
        check_name(run)?;
        RunPaths::open_in(Arc::new(self.storage.clone()), &run_folder(run))
    }

    /// How far a run is.
    pub(crate) fn progress(&self, run: &str) -> Result<Progress, SessionError> {
        let paths = self.paths(run)?;
        Ok(progress(&paths, &load_recipe(&paths)?)?)
    }

    /// All runs, sorted by name. A run whose files cannot be read has the reason under `problem`.
    pub(crate) fn runs(&self) -> Result<Value, SessionError> {
        let entries = self.storage.entries(Path::new(RUNS));
        let names = entries.map_err(|error| RunFolderError::from_io("read", Path::new(RUNS), error))?;
        let runs: Vec<Value> = names.iter().map(|run| self.run_entry(run)).collect();
        Ok(json!({ "runs": runs }))
    }

    /// An entry of the list of runs.
    fn run_entry(&self, run: &str) -> Value {
        let mut entry = self.summary(run).unwrap_or_else(|error| {
            json!({
                "name": run, "objective": null, "steps": 0, "step": 0, "finished": false, "train_loss": null,
                "validation_loss": null, "floor": null, "problem": error.message,
            })
        });
        entry["run"] = run.into();
        entry["bytes"] = self.bytes(run).into();
        entry["running"] = self.training.borrow().contains_key(run).into();
        entry
    }

    /// What the files of a run say about it.
    fn summary(&self, run: &str) -> Result<Value, SessionError> {
        let paths = self.paths(run)?;
        let recipe = load_recipe(&paths)?;
        let rows = read_metrics(&paths)?;
        let progress = progress(&paths, &recipe)?;
        let last = |read: fn(&MetricsRow) -> Option<f64>| rows.iter().rev().find_map(read);
        let step = rows.iter().map(MetricsRow::step).max().unwrap_or(0);
        Ok(json!({
            "name": recipe.name,
            "objective": recipe.stages.last().map(|stage| stage.objective.name()),
            "steps": progress.steps,
            "step": step.max(progress.step),
            "finished": progress.is_finished(&rows),
            "train_loss": last(train_loss),
            "validation_loss": last(validation_loss),
            "floor": last(floor),
        }))
    }

    /// Size of the files of a run.
    fn bytes(&self, run: &str) -> usize {
        let folder = run_folder(run);
        let files = self.storage.files().into_iter();
        files.filter(|(path, _)| path.starts_with(&folder)).map(|(_, bytes)| bytes.len()).sum()
    }

    /// The metrics of a run, its recipe, and the entropy of its text if it is known.
    pub(crate) fn metrics(&self, arguments: &RunArguments) -> Result<Answer, SessionError> {
        let paths = self.paths(&arguments.run)?;
        let rows = read_metrics(&paths)?;
        let floor = rows.iter().rev().find_map(floor);
        Ok(json!({ "rows": rows, "floor": floor, "toml": load_recipe(&paths)?.to_toml() }).into())
    }

    /// Removes a run with all its files, also one whose recipe is missing or damaged.
    pub(crate) fn delete(&self, arguments: &RunArguments) -> Result<Answer, SessionError> {
        let run = &arguments.run;
        self.check_not_training(run)?;
        check_name(run)?;
        let folder = run_folder(run);
        if self.storage.kind(&folder).is_none() {
            return Err(not_a_run(run).into());
        }
        let removed = self.storage.remove(&folder);
        removed.map_err(|error| RunFolderError::from_io("remove", &folder, error))?;
        Ok(json!({}).into())
    }
}

/// Checks that a name is that of one folder, and not a path to somewhere else.
fn check_name(run: &str) -> Result<(), RunFolderError> {
    let mut parts = Path::new(run).components();
    match (parts.next(), parts.next()) {
        (Some(Component::Normal(_)), None) => Ok(()),
        _ => Err(not_a_run(run)),
    }
}

fn not_a_run(run: &str) -> RunFolderError {
    RunFolderError::NotRunFolder { path: run_folder(run), found: "nothing".into() }
}

impl Progress {
    /// Whether all steps are done, or the last stage ended before its last step.
    fn is_finished(&self, rows: &[MetricsRow]) -> bool {
        let last_event = rows.iter().rev().find_map(|row| match row {
            MetricsRow::Event(event) => Some(event.kind),
            _ => None,
        });
        self.is_last_stage && (self.step >= self.steps || last_event == Some(EventKind::Finished))
    }
}

/// How far a run is, by its checkpoints.
fn progress(paths: &RunPaths, recipe: &Recipe) -> Result<Progress, RunFolderError> {
    let steps = recipe.stages.iter().map(|stage| stage.steps).sum();
    let Some((stage, step)) = paths.newest_checkpoint(recipe)? else {
        return Ok(Progress { step: 0, steps, is_last_stage: false });
    };
    let before: u64 = recipe.stages.iter().take(stage.index).map(|stage| stage.steps).sum();
    Ok(Progress { step: before + step, steps, is_last_stage: stage.index + 1 == recipe.stages.len() })
}

/// The metrics of a run; none before its first row.
fn read_metrics(paths: &RunPaths) -> Result<Vec<MetricsRow>, RunFolderError> {
    if paths.storage().is_file(&paths.metrics()) { load_metrics(paths) } else { Ok(Vec::new()) }
}

fn train_loss(row: &MetricsRow) -> Option<f64> {
    if let MetricsRow::Step(row) = row { Some(row.loss) } else { None }
}

fn validation_loss(row: &MetricsRow) -> Option<f64> {
    if let MetricsRow::Validation(row) = row { Some(row.loss) } else { None }
}

fn floor(row: &MetricsRow) -> Option<f64> {
    if let MetricsRow::Validation(row) = row { row.reference_loss } else { None }
}
