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
mod keep;
mod state;
#[cfg(feature = "files")]
mod store;
mod tensors;
#[cfg(feature = "files")]
pub mod write;

#[cfg(feature = "files")]
pub use keep::{Pointer, Retention};
pub use safetensors::tensor::Dtype;
pub use state::{Fingerprints, State, sha256};
#[cfg(feature = "files")]
pub use store::Checkpoints;
pub use tensors::{Raw, Tensors};

use std::collections::BTreeMap;

use crate::error::Flaw;
use state::Sealed;

/// The weights.
pub const MODEL: &str = "model.safetensors";
/// The optimiser's state.
pub const TRAIN: &str = "train.safetensors";
/// Where the run stands.
pub const STATE: &str = "state.json";

/// A run at one step.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    /// Where the run stands.
    pub state: State,
    /// The weights, under the names of the parameters.
    pub model: Tensors,
    /// What else training keeps in tensors, such as the optimiser's moments.
    pub train: Tensors,
}

impl Checkpoint {
    /// Hands each file's name and bytes to `put`, `state.json` last.
    pub fn write<E>(&self, mut put: impl FnMut(&str, &[u8]) -> Result<(), E>) -> Result<(), E> {
        let mut files = BTreeMap::new();
        for (name, tensors) in [(MODEL, &self.model), (TRAIN, &self.train)] {
            let bytes = tensors::encode(tensors, &self.state.about(name));
            files.insert(name.to_owned(), state::Content::of(&bytes));
            put(name, &bytes)?;
        }
        put(STATE, &Sealed::new(&self.state, files).encode())
    }

    /// Reads and verifies the checkpoint of `step`, whose files `get` finds by name. A flaw comes with the file that it
    /// is in.
    pub fn read<E: From<Flawed>>(step: u64, mut get: impl FnMut(&str) -> Result<Vec<u8>, E>) -> Result<Self, E> {
        let sealed = Self::sealed(step, &mut get)?;
        let model = sealed.tensors(MODEL, &get(MODEL)?)?;
        let train = sealed.tensors(TRAIN, &get(TRAIN)?)?;
        Ok(Self { state: sealed.state, model, train })
    }

    /// Reads and verifies the state and the weights alone.
    pub fn read_model<E: From<Flawed>>(
        step: u64,
        mut get: impl FnMut(&str) -> Result<Vec<u8>, E>,
    ) -> Result<(State, Tensors), E> {
        let sealed = Self::sealed(step, &mut get)?;
        let model = sealed.tensors(MODEL, &get(MODEL)?)?;
        Ok((sealed.state, model))
    }

    /// Reads and verifies the state alone.
    pub fn read_state<E: From<Flawed>>(step: u64, mut get: impl FnMut(&str) -> Result<Vec<u8>, E>) -> Result<State, E> {
        Ok(Self::sealed(step, &mut get)?.state)
    }

    fn sealed<E: From<Flawed>>(step: u64, get: &mut impl FnMut(&str) -> Result<Vec<u8>, E>) -> Result<Sealed, E> {
        let sealed = Sealed::decode(&get(STATE)?);
        let right = sealed.and_then(|sealed| match sealed.state.step {
            found if found == step => Ok(sealed),
            found => Err(Flaw::new(format!("the state of step {step}"), format!("that of step {found}"))),
        });
        right.map_err(|flaw| E::from((STATE, flaw)))
    }
}

/// The name of a file, and what is wrong with it.
pub type Flawed = (&'static str, Flaw);

#[cfg(all(test, feature = "files"))]
pub(crate) mod child;
#[cfg(all(test, feature = "files"))]
mod kill;
#[cfg(all(test, feature = "files"))]
pub(crate) mod tests;
