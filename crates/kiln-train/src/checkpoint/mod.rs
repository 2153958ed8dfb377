//! Checkpoints: the weights of a model and all that training needs to go on from them, bit for bit.
//!
//! ```text
//! step-000200/model.safetensors   the weights under their names, nothing else
//!             train.safetensors   the optimiser's state and what else training keeps in tensors
//!             state.json          where the run stands, and size and hash of the other two
//! ```
//! [`Checkpoint`], [`State`] and [`Tensors`] are values and know no files; [`Checkpoints`] is the folder that holds the
//! checkpoints of a stage.
#[cfg(feature = "files")]
pub mod atomic_write;
#[cfg(feature = "files")]
mod retention;
mod state;
#[cfg(feature = "files")]
mod store;
mod tensors;

#[cfg(feature = "files")]
pub use retention::{CheckpointPointer, Retention};
pub use safetensors::tensor::Dtype;
pub use state::{Fingerprints, TrainerState, sha256_hex};
#[cfg(feature = "files")]
pub use store::Checkpoints;
pub use tensors::{NamedTensors, RawTensor};

use std::collections::BTreeMap;

use crate::run_folder_error::CheckpointError;
use state::HashedFile;

/// The weights.
pub const MODEL_FILE: &str = "model.safetensors";
/// The optimiser's state.
pub const TRAIN_FILE: &str = "train.safetensors";
/// Where the run stands.
pub const STATE_FILE: &str = "state.json";

/// A run at one step.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    /// Where the run stands.
    pub state: TrainerState,
    /// The weights, under the names of the parameters.
    pub model_tensors: NamedTensors,
    /// What else training keeps in tensors, such as the optimiser's moments.
    pub training_tensors: NamedTensors,
}

impl Checkpoint {
    /// Hands each file's name and bytes to `put`, `state.json` last.
    pub fn write<E>(&self, mut put: impl FnMut(&str, &[u8]) -> Result<(), E>) -> Result<(), E> {
        let mut files = BTreeMap::new();
        for (name, tensors) in [(MODEL_FILE, &self.model_tensors), (TRAIN_FILE, &self.training_tensors)] {
            let bytes = tensors::encode(tensors, &self.state.metadata(name));
            files.insert(name.to_owned(), state::FileDigest::compute(&bytes));
            put(name, &bytes)?;
        }
        put(STATE_FILE, &HashedFile::new(&self.state, files).encode())
    }

    /// Reads and verifies the checkpoint of `step`, whose files `get` finds by name. A flaw comes with the file that it
    /// is in.
    pub fn read<E: From<CheckpointFileError>>(
        step: u64,
        mut get: impl FnMut(&str) -> Result<Vec<u8>, E>,
    ) -> Result<Self, E> {
        let sealed = Self::read_state_file(step, &mut get)?;
        let model = sealed.verify_tensors(MODEL_FILE, &get(MODEL_FILE)?)?;
        let train = sealed.verify_tensors(TRAIN_FILE, &get(TRAIN_FILE)?)?;
        Ok(Self { state: sealed.state, model_tensors: model, training_tensors: train })
    }

    /// Reads and verifies the state and the weights alone.
    pub fn read_model<E: From<CheckpointFileError>>(
        step: u64,
        mut get: impl FnMut(&str) -> Result<Vec<u8>, E>,
    ) -> Result<(TrainerState, NamedTensors), E> {
        let sealed = Self::read_state_file(step, &mut get)?;
        let model = sealed.verify_tensors(MODEL_FILE, &get(MODEL_FILE)?)?;
        Ok((sealed.state, model))
    }

    /// Reads and verifies the state alone.
    pub fn read_state<E: From<CheckpointFileError>>(
        step: u64,
        mut get: impl FnMut(&str) -> Result<Vec<u8>, E>,
    ) -> Result<TrainerState, E> {
        Ok(Self::read_state_file(step, &mut get)?.state)
    }

    fn read_state_file<E: From<CheckpointFileError>>(
        step: u64,
        get: &mut impl FnMut(&str) -> Result<Vec<u8>, E>,
    ) -> Result<HashedFile, E> {
        let sealed = HashedFile::decode(&get(STATE_FILE)?);
        let right = sealed.and_then(|sealed| match sealed.state.step {
            found if found == step => Ok(sealed),
            found => Err(CheckpointError::new(format!("the state of step {step}"), format!("that of step {found}"))),
        });
        right.map_err(|flaw| E::from((STATE_FILE, flaw)))
    }
}

/// The name of a file, and what is wrong with it.
pub type CheckpointFileError = (&'static str, CheckpointError);

#[cfg(all(test, feature = "files"))]
pub(crate) mod child;
#[cfg(all(test, feature = "files"))]
mod kill;
#[cfg(all(test, feature = "files"))]
pub(crate) mod tests;
