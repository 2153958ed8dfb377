//! The folder of the checkpoints of one stage.
//!
//! ```text
//! step-000100/  step-000200/  last.json  best.json
//! ```
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::pending::{self, PendingTensors};
use super::retention::Retention;
use super::state::{FileDigest, HashedFile};
use super::{Checkpoint, CheckpointFileError, MODEL_FILE, NamedTensors, STATE_FILE, TRAIN_FILE, TrainerState};
use crate::run_folder_error::{CheckpointError, RunFolderError};
use crate::storage::{
    Storage, TemporaryFolder, create_folder, file_names, remove_folder, remove_temporary_files, rename,
    write_file_synced,
};

/// The checkpoints of a stage, in a folder. Reading needs no lock. [`recover`](Self::recover) and [`save`](Self::save) are
/// for the process that holds the lock of the run.
#[derive(Clone, Debug)]
pub struct Checkpoints {
    storage: Arc<dyn Storage>,
    root: PathBuf,
}

impl Checkpoints {
    /// The checkpoints in the folder `root` on disk, which may be missing.
    #[cfg(feature = "files")]
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self::new_in(crate::storage::DiskStorage::shared(), root)
    }

    /// The checkpoints in the folder `root` of a storage, which may be missing.
    pub fn new_in(storage: Arc<dyn Storage>, root: impl Into<PathBuf>) -> Self {
        Self { storage, root: root.into() }
    }

    /// Where the checkpoints are kept.
    pub fn storage(&self) -> &dyn Storage {
        &*self.storage
    }

    /// The folder of all checkpoints.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The folder of the checkpoint of a step, such as `step-000200`.
    pub fn folder(&self, step: u64) -> PathBuf {
        self.root.join(format!("step-{step:06}"))
    }

    /// All steps with a checkpoint, ascending.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub fn steps(&self) -> Result<Vec<u64>, RunFolderError> {
        let mut steps: Vec<u64> =
            file_names(self.storage(), &self.root)?.iter().filter_map(|name| parse_step(name, "step-")).collect();
        steps.sort_unstable();
        Ok(steps)
    }

    /// The last step with a checkpoint. It is found by the folders: `last.json` may be out of date after a kill.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub fn newest_step(&self) -> Result<Option<u64>, RunFolderError> {
        Ok(self.steps()?.last().copied())
    }

    /// Creates the folder, undoes incomplete writes of a killed process, and updates `last.json` and `best.json`.
    ///
    /// # Errors
    /// If the state of a checkpoint is damaged, or the storage fails.
    pub fn recover(&self) -> Result<(), RunFolderError> {
        create_folder(self.storage(), &self.root)?;
        for step in file_names(self.storage(), &self.root)?.iter().filter_map(|name| parse_step(name, REPLACED_PREFIX))
        {
            let (replaced, folder) = (self.replaced_folder(step), self.folder(step));
            match self.storage().exists(&folder) {
                true => remove_folder(self.storage(), &replaced)?,
                false => rename(self.storage(), &replaced, &folder)?,
            }
        }
        remove_temporary_files(self.storage(), &self.root)?;
        self.update_pointers()
    }

    /// Saves a checkpoint, updates `last.json` and `best.json`, and deletes the checkpoints that `retention` does not keep.
    /// Returns the folder of the checkpoint.
    ///
    /// The checkpoint becomes visible by one rename. A failure or a kill before it leaves all earlier checkpoints as they
    /// were.
    ///
    /// # Errors
    /// If the storage fails.
    pub fn save(&self, checkpoint: &Checkpoint, retention: Retention) -> Result<PathBuf, RunFolderError> {
        let temporary = self.create_temporary(checkpoint.state.step)?;
        checkpoint.write(|name, bytes| write_file_synced(self.storage(), &temporary.path().join(name), bytes))?;
        self.complete(temporary, checkpoint.state.step, retention)
    }

    /// [`save`](Self::save) of tensors that are read one at a time. The files have the same bytes.
    ///
    /// # Errors
    /// If the storage or the device fails.
    pub async fn save_pending(
        &self,
        state: &TrainerState,
        model_tensors: &PendingTensors,
        training_tensors: &PendingTensors,
        retention: Retention,
    ) -> Result<PathBuf, RunFolderError> {
        let temporary = self.create_temporary(state.step)?;
        let mut digests = BTreeMap::new();
        for (name, tensors) in [(MODEL_FILE, model_tensors), (TRAIN_FILE, training_tensors)] {
            let file = temporary.path().join(name);
            let digest = self.write_tensors(tensors, &state.metadata(name), &file).await;
            let digest = digest.map_err(|source| RunFolderError::from_io("write", &file, source))?;
            digests.insert(name.to_owned(), digest);
        }
        let state_file = HashedFile::new(state, digests).encode();
        write_file_synced(self.storage(), &temporary.path().join(STATE_FILE), &state_file)?;
        self.complete(temporary, state.step, retention)
    }

    /// Writes tensors to a new file, and makes it durable.
    async fn write_tensors(&self, tensors: &PendingTensors, metadata: &str, file: &Path) -> io::Result<FileDigest> {
        let mut writer = self.storage.create(file)?;
        pending::write_file(tensors, metadata, &mut *writer).await?;
        drop(writer);
        self.storage.sync_and_hash(file)
    }

    /// Creates the folder in which the checkpoint of `step` is written.
    fn create_temporary(&self, step: u64) -> Result<TemporaryFolder<'_>, RunFolderError> {
        TemporaryFolder::create_for(self.storage(), &self.folder(step))
    }

    /// Makes a complete temporary folder the checkpoint of `step`.
    fn complete(&self, temporary: TemporaryFolder, step: u64, retention: Retention) -> Result<PathBuf, RunFolderError> {
        let synced = self.storage.sync_folder(temporary.path());
        synced.map_err(|source| RunFolderError::from_io("write", temporary.path(), source))?;
        self.publish(temporary, step)?;
        self.update_pointers()?;
        self.prune(retention)?;
        Ok(self.folder(step))
    }

    /// Renames the temporary folder to the folder of `step`.
    ///
    /// A folder cannot be renamed over another. An earlier checkpoint of this step is renamed first, so that
    /// [`recover`](Self::recover) finds it after a kill.
    fn publish(&self, temporary: TemporaryFolder, step: u64) -> Result<(), RunFolderError> {
        let (folder, replaced) = (self.folder(step), self.replaced_folder(step));
        if !self.storage().exists(&folder) {
            return temporary.rename(&folder);
        }
        rename(self.storage(), &folder, &replaced)?;
        if let Err(error) = temporary.rename(&folder) {
            rename(self.storage(), &replaced, &folder)?;
            return Err(error);
        }
        remove_folder(self.storage(), &replaced)
    }

    fn replaced_folder(&self, step: u64) -> PathBuf {
        self.root.join(format!("{REPLACED_PREFIX}{step:06}"))
    }

    /// Reads the checkpoint of a step and verifies each of its files.
    ///
    /// # Errors
    /// If a file is missing or damaged.
    pub fn load(&self, step: u64) -> Result<Checkpoint, RunFolderError> {
        Checkpoint::read(step, self.file_reader(step)).map_err(|failure| self.to_run_folder_error(step, failure))
    }

    /// Reads and verifies state and weights of the checkpoint of `step`.
    ///
    /// # Errors
    /// If a file is missing or damaged.
    pub fn load_model(&self, step: u64) -> Result<(TrainerState, NamedTensors), RunFolderError> {
        Checkpoint::read_model(step, self.file_reader(step)).map_err(|failure| self.to_run_folder_error(step, failure))
    }

    /// Reads and verifies the state of the checkpoint of `step`.
    ///
    /// # Errors
    /// If the file is missing or damaged.
    pub fn load_state(&self, step: u64) -> Result<TrainerState, RunFolderError> {
        Checkpoint::read_state(step, self.file_reader(step)).map_err(|failure| self.to_run_folder_error(step, failure))
    }

    /// Reads files of the checkpoint of `step`, by name.
    fn file_reader(&self, step: u64) -> impl FnMut(&str) -> Result<Vec<u8>, ReadFailure> {
        let folder = self.folder(step);
        move |name| {
            let file = folder.join(name);
            self.storage.read(&file).map_err(|error| ReadFailure::Io(file, error))
        }
    }

    /// The error of a checkpoint that could not be read. It names the steps of the other checkpoints. A missing file
    /// counts as damaged.
    fn to_run_folder_error(&self, step: u64, failure: ReadFailure) -> RunFolderError {
        let (file, error) = match failure {
            ReadFailure::Invalid(name, error) => (self.folder(step).join(name), error),
            ReadFailure::Io(file, error) if error.kind() == io::ErrorKind::NotFound => {
                (file, CheckpointError::new("a file", "nothing"))
            }
            ReadFailure::Io(file, error) => return RunFolderError::from_io("read", &file, error),
        };
        let other_steps = self.steps().unwrap_or_default().into_iter().filter(|&other| other != step).collect();
        RunFolderError::DamagedCheckpoint { file, error, other_steps }
    }

    /// Deletes the checkpoints that `retention` does not keep.
    fn prune(&self, retention: Retention) -> Result<(), RunFolderError> {
        let best = self.best_step()?;
        let steps = self.steps()?;
        let old = &steps[..steps.len().saturating_sub(retention.keep_last.max(1))];
        old.iter()
            .filter(|&&step| Some(step) != best)
            .try_for_each(|&step| remove_folder(self.storage(), &self.folder(step)))
    }
}

/// Prefix of the name of a checkpoint that is being replaced by another of the same step.
const REPLACED_PREFIX: &str = ".replaced-step-";

/// The step in a folder name that is exactly `prefix` and a step of at least six digits.
fn parse_step(name: &str, prefix: &str) -> Option<u64> {
    let step = name.strip_prefix(prefix)?.parse().ok()?;
    (name == format!("{prefix}{step:06}")).then_some(step)
}

/// Why a checkpoint could not be read.
enum ReadFailure {
    Io(PathBuf, io::Error),
    Invalid(&'static str, CheckpointError),
}

impl From<CheckpointFileError> for ReadFailure {
    fn from((name, error): CheckpointFileError) -> Self {
        Self::Invalid(name, error)
    }
}
