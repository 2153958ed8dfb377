//! Checkpoints: the weights of a model, and everything that is needed to resume training to the same bits.
//!
//! ```text
//! step-000200/model.safetensors   weights by parameter name, for use
//!             train.safetensors   optimizer state; with an EMA also the trained weights
//!             state.json          progress of the run, and sizes and hashes of the other two files
//! ```
//!
//! [`Checkpoint`], [`TrainerState`] and [`NamedTensors`] are values without files. [`Checkpoints`] is the folder that holds
//! the checkpoints of a stage, in a [`Storage`](crate::storage::Storage). All files are verified when they are read.
mod pending;
mod retention;
mod state;
mod store;
pub(crate) mod tensors;

pub use pending::{PendingTensor, PendingTensors, TensorFuture};
pub use retention::{CheckpointPointer, Retention};
pub use safetensors::tensor::Dtype;
pub use state::{FileDigest, Fingerprints, TrainerState, sha256_hex};
pub use store::Checkpoints;
pub use tensors::{NamedTensors, RawTensor};

use std::collections::BTreeMap;

use crate::run_folder_error::CheckpointError;
use state::HashedFile;

/// File of the weights.
pub const MODEL_FILE: &str = "model.safetensors";
/// File of the training state that consists of tensors.
pub const TRAIN_FILE: &str = "train.safetensors";
/// File of the progress of the run.
pub const STATE_FILE: &str = "state.json";

/// State of a run after one step.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    /// Progress of the run, and fingerprints of what it was made from.
    pub state: TrainerState,
    /// Weights by parameter name. In a stage with an EMA, these are the averaged weights.
    pub model_tensors: NamedTensors,
    /// Training state that consists of tensors: see [`state_dict`](crate::state_dict).
    pub training_tensors: NamedTensors,
}

impl Checkpoint {
    /// Passes the name and the bytes of each file to `write_file`, `state.json` last. Equal checkpoints give equal bytes.
    ///
    /// # Errors
    /// The first error of `write_file`.
    pub fn write<E>(&self, mut write_file: impl FnMut(&str, &[u8]) -> Result<(), E>) -> Result<(), E> {
        let mut files = BTreeMap::new();
        for (name, tensors) in [(MODEL_FILE, &self.model_tensors), (TRAIN_FILE, &self.training_tensors)] {
            let bytes = tensors::encode(tensors, &self.state.metadata(name));
            files.insert(name.to_owned(), state::FileDigest::compute(&bytes));
            write_file(name, &bytes)?;
        }
        write_file(STATE_FILE, &HashedFile::new(&self.state, files).encode())
    }

    /// Reads and verifies the checkpoint of `step`. `read_file` returns the bytes of a file by name.
    ///
    /// # Errors
    /// The first error of `read_file`, or the first file with wrong content, with its name.
    pub fn read<E: From<CheckpointFileError>>(
        step: u64,
        mut read_file: impl FnMut(&str) -> Result<Vec<u8>, E>,
    ) -> Result<Self, E> {
        let hashed = Self::read_state_file(step, &mut read_file)?;
        let model_tensors = hashed.verify_tensors(MODEL_FILE, &read_file(MODEL_FILE)?)?;
        let training_tensors = hashed.verify_tensors(TRAIN_FILE, &read_file(TRAIN_FILE)?)?;
        Ok(Self { state: hashed.state, model_tensors, training_tensors })
    }

    /// Reads and verifies state and weights, without the training state.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn read_model<E: From<CheckpointFileError>>(
        step: u64,
        mut read_file: impl FnMut(&str) -> Result<Vec<u8>, E>,
    ) -> Result<(TrainerState, NamedTensors), E> {
        let hashed = Self::read_state_file(step, &mut read_file)?;
        let model_tensors = hashed.verify_tensors(MODEL_FILE, &read_file(MODEL_FILE)?)?;
        Ok((hashed.state, model_tensors))
    }

    /// Reads and verifies the state only.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn read_state<E: From<CheckpointFileError>>(
        step: u64,
        mut read_file: impl FnMut(&str) -> Result<Vec<u8>, E>,
    ) -> Result<TrainerState, E> {
        Ok(Self::read_state_file(step, &mut read_file)?.state)
    }

    /// Reads `state.json`, verifies its own hash, and checks that it is the state of `step`.
    fn read_state_file<E: From<CheckpointFileError>>(
        step: u64,
        read_file: &mut impl FnMut(&str) -> Result<Vec<u8>, E>,
    ) -> Result<HashedFile, E> {
        let hashed = HashedFile::decode(&read_file(STATE_FILE)?);
        let verified = hashed.and_then(|hashed| match hashed.state.step {
            found if found == step => Ok(hashed),
            found => Err(CheckpointError::new(format!("the state of step {step}"), format!("that of step {found}"))),
        });
        verified.map_err(|error| E::from((STATE_FILE, error)))
    }
}

/// Name of a checkpoint file, and what is wrong with its content.
pub type CheckpointFileError = (&'static str, CheckpointError);

#[cfg(test)]
pub(crate) mod test_sample;
#[cfg(all(test, feature = "files"))]
pub(crate) mod tests;
