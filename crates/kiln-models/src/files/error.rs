//! Why a folder can't be read.

use crate::hf::AssembleError;
use kiln_spec::Refusal;
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
    #[error("{}: no weights: neither model.safetensors nor model.safetensors.index.json is there{hint}", folder.display())]
    NoWeights {
        /// The folder.
        folder: PathBuf,
        /// What is there instead.
        hint: String,
    },
    /// A name leads out of the folder.
    #[error("{}: `{name}` is not a file of this folder; a model's files lie beside its config.json", folder.display())]
    Outside {
        /// The folder.
        folder: PathBuf,
        /// The name.
        name: String,
    },
    /// The configuration is one of a model that Kiln can't compute.
    #[error("{}: {refusal}", file.display())]
    Config {
        /// The file.
        file: PathBuf,
        /// What, and what to do.
        refusal: Refusal,
    },
    /// The weights don't make the model.
    #[error("{}: {source}", folder.display())]
    Weights {
        /// The folder.
        folder: PathBuf,
        /// What doesn't fit.
        source: AssembleError,
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
            Self::Config { refusal, .. } => refusal.instead.as_deref(),
            Self::NoWeights { .. } => Some("the folder of a model, with its weights"),
            Self::Broken { .. } => Some("fetch the file again: it may not have arrived whole"),
            _ => None,
        }
    }
}
