//! Why a model can't be had.

use super::Base;
use crate::Failure;
use kiln_data::DataError;
use kiln_models::files::LoadError;
use kiln_peft::folder::FolderError;
use kiln_spec::Refusal;
use std::{io, path::PathBuf};

/// Why a model can't be had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No model is there.
    #[error("expected a model, found {found}: {}", path.display())]
    Nothing {
        /// What was asked for.
        path: PathBuf,
        /// What stands there instead.
        found: &'static str,
    },
    /// A run can't be loaded.
    #[error(transparent)]
    Run(#[from] Box<Failure>),
    /// A folder can't be loaded.
    #[error(transparent)]
    Folder(#[from] LoadError),
    /// A tokenizer can't be read.
    #[error(transparent)]
    Tokenizer(#[from] DataError),
    /// Adapters whose model isn't there.
    #[error(
        "the adapters in {} belong to `{}`, which is neither {}",
        .0.adapter.display(), .0.name, .0.looked.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(" nor ")
    )]
    Base(Box<Base>),
    /// Adapters that can't be read, or don't fit the model.
    #[error("adapters in {}: {error}", folder.display())]
    Adapter {
        /// Their folder.
        folder: PathBuf,
        /// Why.
        error: Box<FolderError>,
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
    Refused {
        /// Which.
        file: PathBuf,
        /// What.
        refusal: Refusal,
    },
    /// A tokenizer that knows more tokens than the model.
    #[error("{}: the tokenizer has {tokens} tokens, the model {known}: they don't belong together", path.display())]
    Vocabulary {
        /// Where.
        path: PathBuf,
        /// Tokens of the tokenizer.
        tokens: usize,
        /// Tokens of the model.
        known: usize,
    },
    /// A GGUF without a tokenizer.
    #[error("{} carries no tokenizer", .0.display())]
    NoTokenizer(PathBuf),
}
