//! Retention of checkpoints, and the files `last.json` and `best.json` that name the last and the best.
use std::cmp::Ordering;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::store::Checkpoints;
use crate::run_folder_error::RunFolderError;
use crate::storage::{Storage, write_atomic};

/// Retention policy. The best checkpoint is always kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Number of most recent checkpoints to keep; 0 counts as 1.
    pub keep_last: usize,
}

/// Content of `last.json` and `best.json`. They are for people and scripts: Kiln itself reads the checkpoints.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct CheckpointPointer {
    /// Step of the checkpoint.
    pub step: u64,
    /// Validation loss of the checkpoint, in nats per token. Absent: not evaluated.
    #[serde(rename = "value")]
    pub eval_loss: Option<f64>,
}

impl Checkpoints {
    /// The step with the smallest validation loss, the earliest one if several are equal; none if no checkpoint has a loss.
    ///
    /// # Errors
    /// If the state of a checkpoint is damaged.
    pub fn best_step(&self) -> Result<Option<u64>, RunFolderError> {
        Ok(self.best_pointer()?.map(|best| best.step))
    }

    fn best_pointer(&self) -> Result<Option<CheckpointPointer>, RunFolderError> {
        let mut evaluated = Vec::new();
        for step in self.steps()? {
            evaluated.extend(self.load_state(step)?.finite_eval_loss().map(|value| (value, step)));
        }
        let best = evaluated.into_iter().min_by(|a, b| a.partial_cmp(b).unwrap_or(Ordering::Equal));
        Ok(best.map(|(value, step)| CheckpointPointer { step, eval_loss: Some(value) }))
    }

    /// Updates `last.json` and `best.json`.
    pub(super) fn update_pointers(&self) -> Result<(), RunFolderError> {
        let last = match self.newest_step()? {
            Some(step) => Some(CheckpointPointer { step, eval_loss: self.load_state(step)?.finite_eval_loss() }),
            None => None,
        };
        write_pointer(self.storage(), &self.root().join("last.json"), last)?;
        write_pointer(self.storage(), &self.root().join("best.json"), self.best_pointer()?)
    }
}

/// Writes a pointer file if its content changes; removes it if there is no pointer.
fn write_pointer(storage: &dyn Storage, path: &Path, pointer: Option<CheckpointPointer>) -> Result<(), RunFolderError> {
    let Some(pointer) = pointer else {
        return storage.remove(path).map_err(|source| RunFolderError::from_io("remove", path, source));
    };
    let mut bytes = serde_json::to_vec(&pointer).expect("a pointer is numbers");
    bytes.push(b'\n');
    let is_unchanged = storage.read(path).is_ok_and(|current| current == bytes);
    if is_unchanged { Ok(()) } else { write_atomic(storage, path, &bytes) }
}
