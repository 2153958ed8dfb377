//! Run folders: all files of a run.
//!
//! ```text
//! recipe.toml                 the recipe, with all defaults
//! tokenizer.json              the tokenizer
//! tokenizer_config.json       the chat template, if the run started from a model with one
//! generation_config.json      the tokens that end a text, if the run started from a model with them
//! metrics.jsonl               metrics of all steps and evaluations
//! metrics.csv                 the same as a table, with the log format `csv`
//! events.out.tfevents.0.kiln  the same for TensorBoard, with the log format `tensorboard`
//! report.html                 the report page
//! lock                        locked by the process that writes the run
//! stages/0-pretrain/checkpoints/step-000200/…  last.json  best.json
//! ```
//!
//! [`RunPaths`] names the files, for readers. [`RunFolder`] holds the lock, for the one process that writes.
mod create;
mod lock;
mod metrics_copy;
mod metrics_log;
mod paths;
mod resume;

pub use crate::checkpoint::atomic_write::write_atomic;
pub use lock::RunLock;
pub use metrics_log::MetricsLog;
pub use paths::{RunPaths, StageFolder};
pub use resume::ResumePoint;

use std::fs;
use std::io;
use std::ops::Deref;
use std::path::Path;

use crate::checkpoint::atomic_write::remove_temporary_files;
use crate::run_folder_error::RunFolderError;

/// The folder of a run, locked until this value is dropped or the process ends.
#[derive(Debug)]
pub struct RunFolder {
    paths: RunPaths,
    lock: RunLock,
    /// Whether [`create`](Self::create) has made the folder, and did not find it empty.
    is_new: bool,
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

    /// Locks the folder of a run, to resume it, and removes temporary files.
    ///
    /// # Errors
    /// If the folder is no run, or another process holds the lock.
    pub fn open(path: &Path) -> Result<Self, RunFolderError> {
        let paths = RunPaths::open(path)?;
        let lock = RunLock::acquire(&paths)?;
        remove_temporary_files(paths.root())?;
        Ok(Self { paths, lock, is_new: false })
    }

    /// Removes the run with all its files. A folder that was there before the run stays, empty.
    ///
    /// # Errors
    /// If a file cannot be removed.
    pub fn remove(self) -> Result<(), RunFolderError> {
        let Self { paths, lock, is_new } = self;
        let root = paths.root();
        let result = if is_new { fs::remove_dir_all(root) } else { remove_entries(root) };
        // Until here no other process can start a run in the folder.
        drop(lock);
        result.map_err(|source| RunFolderError::from_io("remove", root, source))
    }
}

/// Removes everything in a folder.
fn remove_entries(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() { fs::remove_dir_all(path)? } else { fs::remove_file(path)? }
    }
    Ok(())
}

impl Deref for RunFolder {
    type Target = RunPaths;

    fn deref(&self) -> &RunPaths {
        &self.paths
    }
}

#[cfg(test)]
mod tests;
