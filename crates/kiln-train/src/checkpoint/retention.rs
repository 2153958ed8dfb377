//! Which checkpoints stay, and the small files that name the last and the best.
use std::cmp::Ordering;
use std::fs;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::atomic_write::write_atomic;
use super::store::Checkpoints;
use crate::run_folder_error::RunFolderError;

/// How many checkpoints stay. The best one always does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// The newest so many, at least one.
    pub keep_last: usize,
}

/// What `last.json` and `best.json` hold: for people and scripts; Kiln itself goes by the checkpoints.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct CheckpointPointer {
    /// The step whose checkpoint it names.
    pub step: u64,
    /// Its validation loss, nats per token, if it was measured.
    #[serde(rename = "value")]
    pub eval_loss: Option<f64>,
}

impl Checkpoints {
    /// The step with the smallest validation loss, the earliest of equals; none if no loss was measured.
    pub fn best_step(&self) -> Result<Option<u64>, RunFolderError> {
        Ok(self.best_pointer()?.map(|best| best.step))
    }

    fn best_pointer(&self) -> Result<Option<CheckpointPointer>, RunFolderError> {
        let mut measured = Vec::new();
        for step in self.steps()? {
            measured.extend(self.load_state(step)?.finite_eval_loss().map(|value| (value, step)));
        }
        let smaller = |a: &(f64, u64), b: &(f64, u64)| a.partial_cmp(b).unwrap_or(Ordering::Equal);
        Ok(measured.into_iter().min_by(smaller).map(|(value, step)| CheckpointPointer { step, eval_loss: Some(value) }))
    }

    /// Makes `last.json` and `best.json` name what they should.
    pub(super) fn update_pointers(&self) -> Result<(), RunFolderError> {
        let last = match self.newest_step()? {
            Some(step) => Some(CheckpointPointer { step, eval_loss: self.load_state(step)?.finite_eval_loss() }),
            None => None,
        };
        write_pointer(&self.root().join("last.json"), last)?;
        write_pointer(&self.root().join("best.json"), self.best_pointer()?)
    }
}

fn write_pointer(path: &Path, pointer: Option<CheckpointPointer>) -> Result<(), RunFolderError> {
    let Some(pointer) = pointer else {
        let removed =
            fs::remove_file(path).or_else(|e| if e.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(e) });
        return removed.map_err(|source| RunFolderError::from_io("remove", path, source));
    };
    let mut bytes = serde_json::to_vec(&pointer).expect("a pointer is numbers");
    bytes.push(b'\n');
    let same = fs::read(path).is_ok_and(|now| now == bytes);
    if same { Ok(()) } else { write_atomic(path, &bytes) }
}
