//! Why a folder can't be read.

use crate::pickle::PickleError;
use kiln_models::hf::LoadWeightsError;
use kiln_spec::ValidationError;
use std::{io, path::PathBuf};

/// Why a model can't be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A file can't be read.
    #[error("{}: {source}", file.display())]
    Io {
        /// The file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file isn't what its name says.
    #[error("{}: {reason}", file.display())]
    Broken {
        /// The file.
        file: PathBuf,
        /// What was expected, and what was found.
        reason: String,
    },
    /// No weights are in the folder.
    #[error("{}: no weights: neither model.safetensors nor pytorch_model.bin is there, nor an index of either", folder.display())]
    NoWeights {
        /// The folder.
        folder: PathBuf,
    },
    /// A pickle holds more than tensors, or is broken.
    #[error("{}: {source}", file.display())]
    Pickle {
        /// The file.
        file: PathBuf,
        /// Why.
        source: PickleError,
    },
    /// A name leads out of the folder.
    #[error("{}: `{name}` is not a file of this folder; a model's files lie beside its config.json", folder.display())]
    OutsideFolder {
        /// The folder.
        folder: PathBuf,
        /// The name.
        name: String,
    },
    /// The configuration is one of a model that Kiln can't compute.
    #[error("{}: {error}", file.display())]
    Config {
        /// The file.
        file: PathBuf,
        /// What, and what to do.
        error: ValidationError,
    },
    /// The weights don't make the model.
    #[error("{}: {source}", folder.display())]
    Weights {
        /// The folder.
        folder: PathBuf,
        /// What doesn't fit.
        source: LoadWeightsError,
    },
}

impl LoadError {
    /// For `map_err` on reading a file.
    pub(super) fn io(file: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let file = file.into();
        move |source| Self::Io { file, source }
    }

    /// For `map_err` on understanding one.
    pub(super) fn broken<E: ToString>(file: impl Into<PathBuf>, expected: &str) -> impl FnOnce(E) -> Self {
        let (file, expected) = (file.into(), expected.to_owned());
        move |error| Self::Broken { file, reason: format!("{expected} was expected: {}", error.to_string()) }
    }

    /// What to do about it, if that isn't said with the reason.
    pub fn help(&self) -> Option<&str> {
        match self {
            Self::Config { error: refusal, .. } => refusal.suggestion.as_deref(),
            Self::NoWeights { .. } => Some("the folder of a model, with its weights"),
            Self::Broken { .. } => Some("fetch the file again: it may not have arrived whole"),
            _ => None,
        }
    }
}
