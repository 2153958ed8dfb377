//! A run's folder: everything that a run reads and leaves.
//!
//! ```text
//! recipe.toml  tokenizer.json  metrics.jsonl  report.html  lock
//! tokenizer_config.json  generation_config.json (of the model that it started from: template, tokens that end a text)
//! stages/0-pretrain/checkpoints/step-000200/…  last.json  best.json
//! ```
//! [`RunPaths`] names the files for any reader; [`RunFolder`] is the one process that writes.
mod create;
mod lock;
mod metrics_log;
mod paths;
mod resume;

pub use crate::checkpoint::atomic_write::write_atomic;
pub use lock::RunLock;
pub use metrics_log::MetricsLog;
pub use paths::{RunPaths, StageFolder};
pub use resume::ResumePoint;

use std::ops::Deref;
use std::path::Path;

use crate::checkpoint::atomic_write::remove_temporary_files;
use crate::run_folder_error::RunFolderError;

/// A run's folder, held by its lock until this value is dropped or the process ends.
#[derive(Debug)]
pub struct RunFolder {
    paths: RunPaths,
    _lock: RunLock,
}

impl RunFolder {
    /// Makes the folder of a new run, with its recipe in it: `out`, which must be new or empty, or else the first free
    /// one of `runs/<name>`, `runs/<name>-2`, ….
    pub fn create(out: Option<&Path>, name: &str, recipe: &str) -> Result<Self, RunFolderError> {
        match out {
            Some(path) => create::create_in(path, recipe),
            None => create::create_first_free(Path::new("runs"), name, recipe),
        }
    }

    /// Opens the folder of a run to go on with it.
    pub fn open(path: &Path) -> Result<Self, RunFolderError> {
        let paths = RunPaths::open(path)?;
        let lock = RunLock::acquire(&paths)?;
        remove_temporary_files(paths.root())?;
        Ok(Self { paths, _lock: lock })
    }
}

impl Deref for RunFolder {
    type Target = RunPaths;

    fn deref(&self) -> &RunPaths {
        &self.paths
    }
}

#[cfg(test)]
mod tests;
