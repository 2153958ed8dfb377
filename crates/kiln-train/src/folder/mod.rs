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
mod log;
mod paths;
mod resume;

pub use crate::checkpoint::write::write_atomic;
pub use lock::Lock;
pub use log::Log;
pub use paths::{RunPaths, Stage};
pub use resume::Found;

use std::ops::Deref;
use std::path::Path;

use crate::checkpoint::write::sweep;
use crate::error::RunError;

/// A run's folder, held by its lock until this value is dropped or the process ends.
#[derive(Debug)]
pub struct RunFolder {
    paths: RunPaths,
    _lock: Lock,
}

impl RunFolder {
    /// Makes the folder of a new run, with its recipe in it: `out`, which must be new or empty, or else the first free
    /// one of `runs/<name>`, `runs/<name>-2`, ….
    pub fn create(out: Option<&Path>, name: &str, recipe: &str) -> Result<Self, RunError> {
        match out {
            Some(path) => create::at(path, recipe),
            None => create::first_free(Path::new("runs"), name, recipe),
        }
    }

    /// Opens the folder of a run to go on with it.
    pub fn open(path: &Path) -> Result<Self, RunError> {
        let paths = RunPaths::open(path)?;
        let lock = Lock::take(&paths)?;
        sweep(paths.root())?;
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
