//! Run folders: all files of a run.
//!
//! ```text
//! recipe.toml                 the recipe, with all defaults
//! tokenizer.json              the tokenizer
//! tokenizer_config.json       the chat template, if the run started from a model with one
//! generation_config.json      the tokens that end a text, if the run started from a model with them
//! metrics.jsonl               metrics of all steps and evaluations
//! report.html                 the report page
//! lock                        locked by the process that writes the run
//! stages/0-pretrain/checkpoints/step-000200/…  last.json  best.json
//! ```
//!
//! [`RunPaths`] names the files, for readers. [`RunFolder`] holds the lock, for the one process that writes.
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

/// The folder of a run, locked until this value is dropped or the process ends.
#[derive(Debug)]
pub struct RunFolder {
    paths: RunPaths,
    _lock: RunLock,
}

impl RunFolder {
    /// Creates the folder of a new run and writes `recipe` into it: the folder `out`, which must be new or empty, or else the
    /// first free one of `runs/<name>`, `runs/<name>-2`, ….
    ///
    /// # Errors
    /// If `out` is used, or the folder cannot be written. Then no new folder is left.
    pub fn create(out: Option<&Path>, name: &str, recipe: &str) -> Result<Self, RunFolderError> {
        match out {
            Some(path) => create::create_in(path, recipe),
            None => create::create_first_free(Path::new("runs"), name, recipe),
        }
    }

    /// Removes the folder of a run that ended without a checkpoint. A failure to remove it is ignored.
    pub fn discard(self) {
        let _ = std::fs::remove_dir_all(self.paths.root());
    }

    /// Locks the folder of a run, to resume it, and removes temporary files.
    ///
    /// # Errors
    /// If the folder is no run, or another process holds the lock.
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
