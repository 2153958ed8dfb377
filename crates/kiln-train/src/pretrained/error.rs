//! Why a model can't be had.

use super::AdapterBase;
use crate::TrainError;
use kiln_data::DataError;
use kiln_pretrained::files::LoadError;
use kiln_pretrained::peft_format::PeftFormatError;
use kiln_spec::ValidationError;
use std::{io, path::PathBuf};

/// Why a model can't be had.
#[derive(Debug, thiserror::Error)]
pub enum PretrainedError {
    /// No model is there.
    #[error("expected a model, found {found}: {}", path.display())]
    NotFound {
        /// What was asked for.
        path: PathBuf,
        /// What stands there instead.
        found: &'static str,
    },
    /// A run can't be loaded.
    #[error(transparent)]
    Run(#[from] Box<TrainError>),
    /// A folder can't be loaded.
    #[error(transparent)]
    Folder(#[from] LoadError),
    /// A tokenizer can't be read.
    #[error(transparent)]
    Tokenizer(#[from] DataError),
    /// Adapters whose model isn't there.
    #[error(
        "the adapters in {} belong to `{}`, which is neither {}",
        .0.adapter.display(), .0.name, .0.candidates.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(" nor ")
    )]
    MissingBase(Box<AdapterBase>),
    /// Adapters that can't be read, or don't fit the model.
    #[error("adapters in {}: {error}", folder.display())]
    Adapter {
        /// Their folder.
        folder: PathBuf,
        /// Why.
        error: Box<PeftFormatError>,
    },
    /// A file can't be read.
    #[error("cannot read {}: {error}", file.display())]
    Io {
        /// Which.
        file: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// A file says what Kiln doesn't know.
    #[error("{}: {refusal}", file.display())]
    Unsupported {
        /// Which.
        file: PathBuf,
        /// What.
        refusal: ValidationError,
    },
    /// A tokenizer that knows more tokens than the model.
    #[error("{}: the tokenizer has {tokenizer_vocab} tokens, the model {model_vocab}: they don't belong together", path.display())]
    VocabSizeMismatch {
        /// Where.
        path: PathBuf,
        /// Tokens of the tokenizer.
        tokenizer_vocab: usize,
        /// Tokens of the model.
        model_vocab: usize,
    },
    /// A GGUF without a tokenizer.
    #[error("{} carries no tokenizer", .0.display())]
    NoTokenizer(PathBuf),
}
