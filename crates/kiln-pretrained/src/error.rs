//! Errors of loading pretrained models.

use crate::{files::LoadError, peft_format::PeftFormatError};
use kiln_data::DataError;
use kiln_spec::ValidationError;
use std::path::PathBuf;

/// Why a pretrained model cannot be loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PretrainedError {
    /// The path has no model.
    #[error("{}: expected a model, found {found}", path.display())]
    NotFound {
        /// The path.
        path: PathBuf,
        /// What is at the path.
        found: &'static str,
    },
    /// The model's files cannot be loaded.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The tokenizer or the chat template cannot be read.
    #[error(transparent)]
    Tokenizer(#[from] DataError),
    /// The base model of an adapter folder does not exist.
    #[error(
        "the base model `{base}` of the adapters in {} does not exist: found neither {}",
        adapter.display(), candidates.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(" nor ")
    )]
    MissingBase {
        /// The adapter folder.
        adapter: PathBuf,
        /// The value of `base_model_name_or_path`.
        base: String,
        /// The paths that were tried.
        candidates: Vec<PathBuf>,
    },
    /// Adapters cannot be read or do not fit the model.
    #[error("adapters in {}: {error}", folder.display())]
    Adapter {
        /// The adapter folder.
        folder: PathBuf,
        /// What is wrong.
        error: Box<PeftFormatError>,
    },
    /// A file has a value that Kiln does not support.
    #[error("{}: {error}", file.display())]
    Unsupported {
        /// The file.
        file: PathBuf,
        /// The key, what is wrong and what to do.
        error: ValidationError,
    },
    /// A GGUF file has no tokenizer.
    #[error("{}: the GGUF file has no tokenizer", .0.display())]
    NoTokenizer(PathBuf),
    /// The model cannot be downloaded from the hub.
    #[cfg(feature = "hub")]
    #[error(transparent)]
    Hub(#[from] crate::hub::HubError),
}
