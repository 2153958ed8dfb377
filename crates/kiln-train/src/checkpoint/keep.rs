//! Which checkpoints stay, and the small files that name the last and the best.
use std::cmp::Ordering;
use std::fs;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::store::Checkpoints;
use super::write::write_atomic;
use crate::error::RunError;

/// How many checkpoints stay. The best one always does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// The newest so many, at least one.
    pub last: usize,
}

/// What `last.json` and `best.json` hold: for people and scripts; Kiln itself goes by the checkpoints.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pointer {
    /// The step whose checkpoint it names.
    pub step: u64,
    /// Its validation loss, nats per token, if it was measured.
    pub value: Option<f64>,
}

impl Checkpoints {
    /// The step with the smallest validation loss, the earliest of equals; none if no loss was measured.
    pub fn best(&self) -> Result<Option<u64>, RunError> {
        Ok(self.best_pointer()?.map(|best| best.step))
    }

    fn best_pointer(&self) -> Result<Option<Pointer>, RunError> {
        let mut measured = Vec::new();
        for step in self.steps()? {
            measured.extend(self.load_state(step)?.finite_value().map(|value| (value, step)));
        }
        let smaller = |a: &(f64, u64), b: &(f64, u64)| a.partial_cmp(b).unwrap_or(Ordering::Equal);
        Ok(measured.into_iter().min_by(smaller).map(|(value, step)| Pointer { step, value: Some(value) }))
    }

    /// Makes `last.json` and `best.json` name what they should.
    pub(super) fn point(&self) -> Result<(), RunError> {
        let last = match self.newest()? {
            Some(step) => Some(Pointer { step, value: self.load_state(step)?.finite_value() }),
            None => None,
        };
        put(&self.root().join("last.json"), last)?;
        put(&self.root().join("best.json"), self.best_pointer()?)
    }
}

fn put(path: &Path, pointer: Option<Pointer>) -> Result<(), RunError> {
    let Some(pointer) = pointer else {
        let removed =
            fs::remove_file(path).or_else(|e| if e.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(e) });
        return removed.map_err(|source| RunError::io("remove", path, source));
    };
    let mut bytes = serde_json::to_vec(&pointer).expect("a pointer is numbers");
    bytes.push(b'\n');
    let same = fs::read(path).is_ok_and(|now| now == bytes);
    if same { Ok(()) } else { write_atomic(path, &bytes) }
}
