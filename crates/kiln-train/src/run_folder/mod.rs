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
//! [`RunPaths`] names the files, for readers. [`RunFolder`] holds the lock, for the one process that writes. Both read and
//! write a [`Storage`]: the file system, or memory.
mod create;
mod metrics_copy;
mod metrics_log;
mod paths;
mod resume;

pub(crate) use create::first_free;
pub use metrics_log::MetricsLog;
pub(crate) use metrics_log::{MetricsFile, is_early_event};
pub(crate) use paths::slug;
pub use paths::{RunPaths, StageFolder};
pub use resume::ResumePoint;

use std::io;
use std::ops::Deref;
use std::path::Path;
use std::sync::Arc;

use crate::run_folder_error::RunFolderError;
use crate::storage::{Storage, StorageLock, remove_temporary_files};

/// Writes a file on disk atomically. If anything fails, an earlier file at `path` is unchanged.
///
/// # Errors
/// If the file system fails, or something other than a regular file is at `path`, such as a device.
#[cfg(feature = "files")]
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<(), RunFolderError> {
    crate::storage::write_atomic(&crate::storage::DiskStorage, path, bytes)
}

/// The folder of a run, locked until this value is dropped or the process ends.
#[derive(Debug)]
pub struct RunFolder {
    paths: RunPaths,
    lock: Box<dyn StorageLock>,
    /// Whether [`create`](Self::create_in) has made the folder, and did not find it empty.
    is_new: bool,
}

impl RunFolder {
    /// [`create_in`](Self::create_in) on disk.
    ///
    /// # Errors
    /// If `out` is used, or the folder cannot be written. Then no new folder is left.
    #[cfg(feature = "files")]
    pub fn create(out: Option<&Path>, name: &str, recipe: &str) -> Result<Self, RunFolderError> {
        Self::create_in(crate::storage::DiskStorage::shared(), out, name, recipe)
    }

    /// Creates the folder of a new run and writes `recipe` into it: the folder `out`, which must be new or empty, or else the
    /// first free one of `runs/<name>`, `runs/<name>-2`, ….
    ///
    /// # Errors
    /// If `out` is used, or the folder cannot be written. Then no new folder is left.
    pub fn create_in(
        storage: Arc<dyn Storage>,
        out: Option<&Path>,
        name: &str,
        recipe: &str,
    ) -> Result<Self, RunFolderError> {
        match out {
            Some(path) => create::create_in(storage, path, recipe),
            None => create::create_first_free(storage, Path::new("runs"), name, recipe),
        }
    }

    /// [`open_in`](Self::open_in) on disk.
    ///
    /// # Errors
    /// If the folder is no run, or another process holds the lock.
    #[cfg(feature = "files")]
    pub fn open(path: &Path) -> Result<Self, RunFolderError> {
        Self::open_in(crate::storage::DiskStorage::shared(), path)
    }

    /// Locks the folder of a run, to resume it, and removes temporary files.
    ///
    /// # Errors
    /// If the folder is no run, or something else holds the lock.
    pub fn open_in(storage: Arc<dyn Storage>, path: &Path) -> Result<Self, RunFolderError> {
        let paths = RunPaths::open_in(storage, path)?;
        let lock = paths.storage().lock_run(path)?;
        remove_temporary_files(paths.storage(), path)?;
        Ok(Self { paths, lock, is_new: false })
    }

    /// Removes the run with all its files. A folder that was there before the run stays, empty.
    ///
    /// # Errors
    /// If a file cannot be removed.
    pub fn remove(self) -> Result<(), RunFolderError> {
        let Self { paths, lock, is_new } = self;
        let (storage, root) = (paths.storage(), paths.root());
        let result = if is_new { storage.remove(root) } else { remove_entries(storage, root) };
        // Until here no other process can start a run in the folder.
        drop(lock);
        result.map_err(|source| RunFolderError::from_io("remove", root, source))
    }
}

/// Removes everything in a folder.
fn remove_entries(storage: &dyn Storage, folder: &Path) -> io::Result<()> {
    storage.entries(folder)?.iter().try_for_each(|name| storage.remove(&folder.join(name)))
}

impl Deref for RunFolder {
    type Target = RunPaths;

    fn deref(&self) -> &RunPaths {
        &self.paths
    }
}

#[cfg(all(test, feature = "files"))]
mod tests;
