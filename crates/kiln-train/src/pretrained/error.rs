//! Why a model can't be had.

use crate::Failure;
use kiln_data::DataError;
use kiln_models::files::LoadError;
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
