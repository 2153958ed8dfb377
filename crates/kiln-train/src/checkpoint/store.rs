//! The folder that holds the checkpoints of one stage.
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::atomic_write::{
    TemporaryPath, file_names, remove_folder, remove_temporary_files, rename_synced, sync_folder, write_file_synced,
};
use super::retention::Retention;
use super::{Checkpoint, CheckpointFileError, NamedTensors, TrainerState};
use crate::run_folder_error::{CheckpointError, RunFolderError};

/// The checkpoints of a stage. Reading needs no lock; [`start`](Self::start) and [`save`](Self::save) are for the
/// process that holds the run's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoints {
    root: PathBuf,
}

impl Checkpoints {
    /// The checkpoints in `root`, which need not exist yet.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The folder that holds them.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The folder of one step.
    pub fn folder(&self, step: u64) -> PathBuf {
        self.root.join(format!("step-{step:06}"))
    }

    /// Every step that has a checkpoint, ascending.
    pub fn steps(&self) -> Result<Vec<u64>, RunFolderError> {
        let mut steps: Vec<u64> = file_names(&self.root)?.iter().filter_map(|name| parse_step(name, "step-")).collect();
        steps.sort_unstable();
        Ok(steps)
    }

    /// The newest step, if any: what is in the folder counts, not `last.json`, which a kill can leave behind.
    pub fn newest_step(&self) -> Result<Option<u64>, RunFolderError> {
        Ok(self.steps()?.last().copied())
    }

    /// Makes the folder, undoes what a killed process left half done, and renews `last.json` and `best.json`.
    /// Fails if the state of a checkpoint is damaged.
    pub fn recover(&self) -> Result<(), RunFolderError> {
        fs::create_dir_all(&self.root).map_err(|source| RunFolderError::from_io("create", &self.root, source))?;
        for step in file_names(&self.root)?.iter().filter_map(|name| parse_step(name, REPLACED_PREFIX)) {
            let (replaced, folder) = (self.replaced_folder(step), self.folder(step));
            if folder.exists() { remove_folder(&replaced)? } else { rename_synced(&replaced, &folder)? }
        }
        remove_temporary_files(&self.root)?;
        self.update_pointers()
    }

    /// Saves a checkpoint, then points `last.json` and `best.json` to the right ones, then deletes what `retention`
    /// does not keep. Until the one rename that makes it visible, a failure leaves everything as it was.
    pub fn save(&self, checkpoint: &Checkpoint, retention: Retention) -> Result<PathBuf, RunFolderError> {
        let folder = self.folder(checkpoint.state.step);
        let temporary = TemporaryPath::new_for(&folder);
        fs::create_dir_all(temporary.path())
            .map_err(|source| RunFolderError::from_io("create", temporary.path(), source))?;
        checkpoint.write(|name, bytes| write_file_synced(&temporary.path().join(name), bytes))?;
        sync_folder(temporary.path())?;
        self.publish(temporary, checkpoint.state.step)?;
        self.update_pointers()?;
        self.prune(retention)?;
        Ok(folder)
    }

    /// A folder cannot be renamed over another, so an earlier checkpoint of this step is first put aside, where
    /// `start` finds it.
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
    pub fn load(&self, step: u64) -> Result<Checkpoint, RunFolderError> {
        Checkpoint::read(step, self.file_reader(step)).map_err(|fault| self.to_run_folder_error(step, fault))
    }

    /// Reads the state and the weights of a step and verifies both files.
    pub fn load_model(&self, step: u64) -> Result<(TrainerState, NamedTensors), RunFolderError> {
        Checkpoint::read_model(step, self.file_reader(step)).map_err(|fault| self.to_run_folder_error(step, fault))
    }

    /// Reads the state of a step and verifies its file.
    pub fn load_state(&self, step: u64) -> Result<TrainerState, RunFolderError> {
        Checkpoint::read_state(step, self.file_reader(step)).map_err(|fault| self.to_run_folder_error(step, fault))
    }

    fn file_reader(&self, step: u64) -> impl FnMut(&str) -> Result<Vec<u8>, ReadFailure> {
        let folder = self.folder(step);
        move |name| {
            let file = folder.join(name);
            fs::read(&file).map_err(|error| ReadFailure::Io(file, error))
        }
    }

    fn to_run_folder_error(&self, step: u64, fault: ReadFailure) -> RunFolderError {
        let (file, flaw) = match fault {
            ReadFailure::Invalid(name, flaw) => (self.folder(step).join(name), flaw),
            ReadFailure::Io(file, error) if error.kind() == io::ErrorKind::NotFound => {
                (file, CheckpointError::new("a file", "nothing"))
            }
            ReadFailure::Io(file, error) => return RunFolderError::from_io("read", &file, error),
        };
        let others = self.steps().unwrap_or_default().into_iter().filter(|&other| other != step).collect();
        RunFolderError::DamagedCheckpoint { file, error: flaw, other_steps: others }
    }

    fn prune(&self, retention: Retention) -> Result<(), RunFolderError> {
        let best = self.best_step()?;
        let steps = self.steps()?;
        let old = &steps[..steps.len().saturating_sub(retention.keep_last.max(1))];
        old.iter().filter(|&&step| Some(step) != best).try_for_each(|&step| remove_folder(&self.folder(step)))
    }
}

/// How the name of a checkpoint begins while another of the same step takes its place.
const REPLACED_PREFIX: &str = ".replaced-step-";

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
    fn from((name, flaw): CheckpointFileError) -> Self {
        Self::Invalid(name, flaw)
    }
}
