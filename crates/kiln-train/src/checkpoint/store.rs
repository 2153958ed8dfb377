//! The folder that holds the checkpoints of one stage.
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::keep::Retention;
use super::write::{Temporary, names, remove_folder, rename, sweep, sync_folder, write_file};
use super::{Checkpoint, Flawed, State, Tensors};
use crate::error::{Flaw, RunError};

/// The checkpoints of a stage. Reading needs no lock; [`start`](Self::start) and [`save`](Self::save) are for the
/// process that holds the run's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoints {
    root: PathBuf,
}

impl Checkpoints {
    /// The checkpoints in `root`, which need not exist yet.
    pub fn at(root: impl Into<PathBuf>) -> Self {
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
    pub fn steps(&self) -> Result<Vec<u64>, RunError> {
        let mut steps: Vec<u64> = names(&self.root)?.iter().filter_map(|name| step_of(name, "step-")).collect();
        steps.sort_unstable();
        Ok(steps)
    }

    /// The newest step, if any: what is in the folder counts, not `last.json`, which a kill can leave behind.
    pub fn newest(&self) -> Result<Option<u64>, RunError> {
        Ok(self.steps()?.last().copied())
    }

    /// Makes the folder, undoes what a killed process left half done, and renews `last.json` and `best.json`.
    /// Fails if the state of a checkpoint is damaged.
    pub fn start(&self) -> Result<(), RunError> {
        fs::create_dir_all(&self.root).map_err(|source| RunError::io("create", &self.root, source))?;
        for step in names(&self.root)?.iter().filter_map(|name| step_of(name, REPLACED)) {
            let (replaced, folder) = (self.replaced(step), self.folder(step));
            if folder.exists() { remove_folder(&replaced)? } else { rename(&replaced, &folder)? }
        }
        sweep(&self.root)?;
        self.point()
    }

    /// Saves a checkpoint, then points `last.json` and `best.json` to the right ones, then deletes what `retention`
    /// does not keep. Until the one rename that makes it visible, a failure leaves everything as it was.
    pub fn save(&self, checkpoint: &Checkpoint, retention: Retention) -> Result<PathBuf, RunError> {
        let folder = self.folder(checkpoint.state.step);
        let temporary = Temporary::beside(&folder);
        fs::create_dir_all(temporary.path()).map_err(|source| RunError::io("create", temporary.path(), source))?;
        checkpoint.write(|name, bytes| write_file(&temporary.path().join(name), bytes))?;
        sync_folder(temporary.path())?;
        self.show(temporary, checkpoint.state.step)?;
        self.point()?;
        self.tidy(retention)?;
        Ok(folder)
    }

    /// A folder cannot be renamed over another, so an earlier checkpoint of this step is first put aside, where
    /// `start` finds it.
    fn show(&self, temporary: Temporary, step: u64) -> Result<(), RunError> {
        let (folder, replaced) = (self.folder(step), self.replaced(step));
        if !folder.exists() {
            return temporary.rename(&folder);
        }
        rename(&folder, &replaced)?;
        if let Err(error) = temporary.rename(&folder) {
            rename(&replaced, &folder)?;
            return Err(error);
        }
        remove_folder(&replaced)
    }

    fn replaced(&self, step: u64) -> PathBuf {
        self.root.join(format!("{REPLACED}{step:06}"))
    }

    /// Reads the checkpoint of a step and verifies each of its files.
    pub fn load(&self, step: u64) -> Result<Checkpoint, RunError> {
        Checkpoint::read(step, self.reader(step)).map_err(|fault| self.fault(step, fault))
    }

    /// Reads the state and the weights of a step and verifies both files.
    pub fn load_model(&self, step: u64) -> Result<(State, Tensors), RunError> {
        Checkpoint::read_model(step, self.reader(step)).map_err(|fault| self.fault(step, fault))
    }

    /// Reads the state of a step and verifies its file.
    pub fn load_state(&self, step: u64) -> Result<State, RunError> {
        Checkpoint::read_state(step, self.reader(step)).map_err(|fault| self.fault(step, fault))
    }

    fn reader(&self, step: u64) -> impl FnMut(&str) -> Result<Vec<u8>, Fault> {
        let folder = self.folder(step);
        move |name| {
            let file = folder.join(name);
            fs::read(&file).map_err(|error| Fault::Read(file, error))
        }
    }

    fn fault(&self, step: u64, fault: Fault) -> RunError {
        let (file, flaw) = match fault {
            Fault::Flaw(name, flaw) => (self.folder(step).join(name), flaw),
            Fault::Read(file, error) if error.kind() == io::ErrorKind::NotFound => {
                (file, Flaw::new("a file", "nothing"))
            }
            Fault::Read(file, error) => return RunError::io("read", &file, error),
        };
        let others = self.steps().unwrap_or_default().into_iter().filter(|&other| other != step).collect();
        RunError::Damaged { file, flaw, others }
    }

    fn tidy(&self, retention: Retention) -> Result<(), RunError> {
        let best = self.best()?;
        let steps = self.steps()?;
        let old = &steps[..steps.len().saturating_sub(retention.last.max(1))];
        old.iter().filter(|&&step| Some(step) != best).try_for_each(|&step| remove_folder(&self.folder(step)))
    }
}

/// How the name of a checkpoint begins while another of the same step takes its place.
const REPLACED: &str = ".replaced-step-";

fn step_of(name: &str, prefix: &str) -> Option<u64> {
    let step = name.strip_prefix(prefix)?.parse().ok()?;
    (name == format!("{prefix}{step:06}")).then_some(step)
}

/// Why a checkpoint could not be read.
enum Fault {
    Read(PathBuf, io::Error),
    Flaw(&'static str, Flaw),
}

impl From<Flawed> for Fault {
    fn from((name, flaw): Flawed) -> Self {
        Self::Flaw(name, flaw)
    }
}
