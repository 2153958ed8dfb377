//! Runs on disk, with threads and a clock.

use super::{
    BatchFunction, Batches, Environment, ObjectiveFactory, RunContext, RunOutcome, Runtime,
    objectives::recipe_objective, resume_in, start_in,
};
use crate::{Recipe, TrainError, storage::DiskStorage};
use kiln_data::Prefetcher;
use kiln_infer::block_on;
use std::{
    ops::Range,
    path::Path,
    sync::LazyLock,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// Number of packed batches that are prepared in advance.
const PREFETCHED_BATCHES: usize = 4;

/// A program of its own: the system's clock, and a thread that prepares batches in advance.
#[derive(Clone, Copy, Debug, Default)]
pub struct NativeRuntime;

impl Runtime for NativeRuntime {
    fn now(&self) -> Duration {
        static START: LazyLock<Instant> = LazyLock::new(Instant::now);
        START.elapsed()
    }

    fn unix_time(&self) -> f64 {
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64())
    }

    fn batches(&self, steps: Range<u64>, compute: BatchFunction) -> Batches {
        Box::new(Prefetcher::new(PREFETCHED_BATCHES, steps, compute))
    }
}

impl<'a> Environment<'a> {
    /// A run on disk in a program of its own.
    pub fn native() -> Self {
        Self::new(DiskStorage::shared(), &NativeRuntime)
    }
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
    let environment = Environment { objectives, ..Environment::native() };
    block_on(start_in(&recipe, out, &environment, context))
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
    block_on(resume_in(path, &Environment { objectives, ..Environment::native() }, context))
}
