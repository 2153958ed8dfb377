//! The folder of the checkpoints of one stage.
//!
//! ```text
//! step-000100/  step-000200/  last.json  best.json
//! ```
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::atomic_write::{
    TemporaryPath, file_names, remove_folder, remove_temporary_files, rename_synced, sync_folder, write_file_synced,
};
use super::pending::{self, PendingTensors};
use super::retention::Retention;
use super::state::{FileDigest, HashedFile};
use super::{Checkpoint, CheckpointFileError, MODEL_FILE, NamedTensors, STATE_FILE, TRAIN_FILE, TrainerState};
use crate::run_folder_error::{CheckpointError, RunFolderError};

/// The checkpoints of a stage, in a folder. Reading needs no lock. [`recover`](Self::recover) and [`save`](Self::save) are
/// for the process that holds the lock of the run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoints {
    root: PathBuf,
}

impl Checkpoints {
    /// The checkpoints in the folder `root`, which may be missing.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
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
        let mut steps: Vec<u64> = file_names(&self.root)?.iter().filter_map(|name| parse_step(name, "step-")).collect();
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
    /// If the state of a checkpoint is damaged, or the file system fails.
    pub fn recover(&self) -> Result<(), RunFolderError> {
        fs::create_dir_all(&self.root).map_err(|source| RunFolderError::from_io("create", &self.root, source))?;
        for step in file_names(&self.root)?.iter().filter_map(|name| parse_step(name, REPLACED_PREFIX)) {
            let (replaced, folder) = (self.replaced_folder(step), self.folder(step));
            if folder.exists() { remove_folder(&replaced)? } else { rename_synced(&replaced, &folder)? }
        }
        remove_temporary_files(&self.root)?;
        self.update_pointers()
    }

    /// Saves a checkpoint, updates `last.json` and `best.json`, and deletes the checkpoints that `retention` does not keep.
    /// Returns the folder of the checkpoint.
    ///
    /// The checkpoint becomes visible by one rename. A failure or a kill before it leaves all earlier checkpoints as they
    /// were.
    ///
    /// # Errors
    /// If the file system fails.
    pub fn save(&self, checkpoint: &Checkpoint, retention: Retention) -> Result<PathBuf, RunFolderError> {
        self.save_files(checkpoint.state.step, retention, |folder| {
            checkpoint.write(|name, bytes| write_file_synced(&folder.join(name), bytes))
        })
    }

    /// [`save`](Self::save) of tensors that are read one at a time. The files have the same bytes.
    ///
    /// # Errors
    /// If the file system or the device fails.
    pub fn save_pending(
        &self,
        state: &TrainerState,
        model_tensors: &PendingTensors,
        training_tensors: &PendingTensors,
        retention: Retention,
    ) -> Result<PathBuf, RunFolderError> {
        self.save_files(state.step, retention, |folder| {
            let mut digests = BTreeMap::new();
            for (name, tensors) in [(MODEL_FILE, model_tensors), (TRAIN_FILE, training_tensors)] {
                let file = folder.join(name);
                let written = pending::write_file(tensors, &state.metadata(name), &file);
                let digest = written.and_then(|()| sync_and_hash(&file));
                let digest = digest.map_err(|source| RunFolderError::from_io("write", &file, source))?;
                digests.insert(name.to_owned(), digest);
            }
            write_file_synced(&folder.join(STATE_FILE), &HashedFile::new(state, digests).encode())
        })
    }

    /// Saves what `write` puts into a new folder as the checkpoint of `step`.
    fn save_files(
        &self,
        step: u64,
        retention: Retention,
        write: impl FnOnce(&Path) -> Result<(), RunFolderError>,
    ) -> Result<PathBuf, RunFolderError> {
        let folder = self.folder(step);
        let temporary = TemporaryPath::new_for(&folder);
        fs::create_dir_all(temporary.path())
            .map_err(|source| RunFolderError::from_io("create", temporary.path(), source))?;
        write(temporary.path())?;
        sync_folder(temporary.path())?;
        self.publish(temporary, step)?;
        self.update_pointers()?;
        self.prune(retention)?;
        Ok(folder)
    }

    /// Renames the temporary folder to the folder of `step`.
    ///
    /// A folder cannot be renamed over another. An earlier checkpoint of this step is renamed first, so that
    /// [`recover`](Self::recover) finds it after a kill.
    fn publish(&self, temporary: TemporaryPath, step: u64) -> Result<(), RunFolderError> {
        let (folder, replaced) = (self.folder(step), self.replaced_folder(step));
        if !folder.exists() {
            return temporary.rename(&folder);
        }
        rename_synced(&folder, &replaced)?;
        if let Err(error) = temporary.rename(&folder) {
            rename_synced(&replaced, &folder)?;
            return Err(error);
        }
        remove_folder(&replaced)
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
            fs::read(&file).map_err(|error| ReadFailure::Io(file, error))
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
        old.iter().filter(|&&step| Some(step) != best).try_for_each(|&step| remove_folder(&self.folder(step)))
    }
}

/// Flushes a file to the disk, and computes its digest in the meantime.
fn sync_and_hash(file: &Path) -> io::Result<FileDigest> {
    let (synced, hashed) = (fs::File::open(file)?, fs::File::open(file)?);
    std::thread::scope(|scope| {
        let sync = scope.spawn(|| synced.sync_all());
        let digest = FileDigest::read(hashed);
        sync.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        digest
    })
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
