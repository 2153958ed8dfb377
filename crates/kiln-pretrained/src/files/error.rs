//! Errors of reading model files.

use crate::{
    gguf::{GgufError, SplitError},
    pickle::PickleError,
};
use kiln_models::hf::LoadWeightsError;
use kiln_spec::ValidationError;
use std::{io, path::PathBuf};

/// Why the files of a model cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A file cannot be read.
    #[error("{}: {source}", file.display())]
    Io {
        /// The file.
        file: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A file is damaged or of another format.
    #[error("{}: {reason}", file.display())]
    Broken {
        /// The file.
        file: PathBuf,
        /// What was expected and what was found.
        reason: String,
    },
    /// The folder has no weights.
    #[error("{}: no weights found; expected model.safetensors or pytorch_model.bin, or an index of either", folder.display())]
    NoWeights {
        /// The folder.
        folder: PathBuf,
    },
    /// A PyTorch file asks for more than tensors, or is damaged.
    #[error("{}: {source}", file.display())]
    Pickle {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        source: PickleError,
    },
    /// A file is not a GGUF file that Kiln reads.
    #[error("{}: {source}", file.display())]
    Gguf {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        source: GgufError,
    },
    /// The parts of a split GGUF file are not one model.
    #[error("{}: {error}", file.display())]
    Split {
        /// The part that was opened, or that does not fit.
        file: PathBuf,
        /// What is wrong with it.
        error: SplitError,
    },
    /// A file name leads out of the folder.
    #[error("{}: `{name}` is not a file of this folder; the files of a model must be in the folder of its config.json", folder.display())]
    OutsideFolder {
        /// The folder.
        folder: PathBuf,
        /// The name.
        name: String,
    },
    /// The family or an option of the configuration is not supported.
    #[error("{}: {error}", file.display())]
    Config {
        /// The file.
        file: PathBuf,
        /// The key, what is wrong and what to do.
        error: ValidationError,
    },
    /// The weights do not fit the configuration.
    #[error("{}: {source}", folder.display())]
    Weights {
        /// The folder, or the GGUF file.
        folder: PathBuf,
        /// Which tensors do not fit.
        source: LoadWeightsError,
    },
}

impl LoadError {
    /// An adapter for `map_err` where `file` is read.
    #[cfg(feature = "files")]
    pub(crate) fn io(file: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let file = file.into();
        move |source| Self::Io { file, source }
    }

    /// An adapter for `map_err` where `file` is parsed as the format `expected`.
    pub(crate) fn broken<E: ToString>(file: impl Into<PathBuf>, expected: &str) -> impl FnOnce(E) -> Self {
        let file = file.into();
        let expected = expected.to_owned();
        move |error| Self::Broken { file, reason: format!("expected {expected}: {}", error.to_string()) }
    }

    /// What to do about the error, where the message does not say it.
    pub fn help(&self) -> Option<&str> {
        match self {
            Self::Config { error, .. } => error.suggestion.as_deref(),
            Self::NoWeights { .. } => Some("name a model folder that has its weights"),
            Self::Broken { .. } | Self::Gguf { source: GgufError::Broken { .. }, .. } => {
                Some("download the file again: it may be incomplete")
            }
            Self::Gguf { source: GgufError::UnsupportedType { .. }, .. } => Some(
                "quantize the model again with a supported type, for example `llama-quantize MODEL OUT Q8_0` (from f16 or \
                 f32; `--allow-requantize` otherwise)",
            ),
            Self::Split { error: SplitError::Missing { .. }, .. } => {
                Some("put all parts into one folder and name any of them")
            }
            Self::Split { error: SplitError::UnknownName { .. }, .. } => {
                Some("give all parts the names that `llama-gguf-split` gives them, or join them with its `--merge`")
            }
            _ => None,
        }
    }
}
