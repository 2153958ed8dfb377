//! Errors of a session: those of the crates, with the kinds of `kiln --json`.

use burn::tensor::ExecutionError;
use kiln_data::DataError;
use kiln_infer::GenerateError;
use kiln_pretrained::PretrainedError;
use kiln_spec::{ValidationError, config::ConfigError};
use kiln_train::{RunFolderError, TrainError, storage::ArchiveError};
use serde_json::{Value, json};
use std::path::Path;

/// Error of a call.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SessionError {
    /// Short code for programs, such as `unknown-key`: that of the command's `--json`.
    pub kind: &'static str,
    /// What is wrong: what was found, and what was expected.
    pub message: String,
    /// File, line, recipe key or step, as far as known.
    pub location: Option<String>,
    /// What to do, if something is known.
    pub help: Option<String>,
}

impl SessionError {
    /// An error of this kind.
    pub fn new(kind: &'static str, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), location: None, help: None }
    }

    /// An error in the arguments of a call.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new("usage", message)
    }

    /// Sets the location.
    #[must_use]
    pub fn at(mut self, location: impl Into<String>) -> Self {
        self.location = Some(location.into());
        self
    }

    /// Sets the help.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// `{"kind","message","where","help"}`, as the command prints it.
    pub fn to_json(&self) -> Value {
        json!({ "kind": self.kind, "message": self.message, "where": self.location, "help": self.help })
    }
}

impl From<TrainError> for SessionError {
    fn from(error: TrainError) -> Self {
        match error {
            TrainError::Config(error) => error.into(),
            TrainError::Data(error) => error.into(),
            TrainError::RunFolder(error) => error.into(),
            TrainError::Generate(error) => error.into(),
            TrainError::Pretrained(error) => error.into(),
            other => {
                Self { location: other.location(), help: other.help(), ..Self::new(other.kind(), other.to_string()) }
            }
        }
    }
}

impl From<ConfigError> for SessionError {
    fn from(error: ConfigError) -> Self {
        Self { location: error.location(), help: error.help(), ..Self::new(error.code(), error.message()) }
    }
}

impl From<ValidationError> for SessionError {
    fn from(error: ValidationError) -> Self {
        ConfigError::from(error).into()
    }
}

impl From<DataError> for SessionError {
    fn from(error: DataError) -> Self {
        let (location, help) = (error.location(), Some(error.help()));
        Self { location, help, ..Self::new(error.kind(), error.to_string()) }
    }
}

impl From<RunFolderError> for SessionError {
    fn from(error: RunFolderError) -> Self {
        let (location, help) = (Some(error.location().display().to_string()), error.help());
        Self { location, help, ..Self::new(error.kind(), error.to_string()) }
    }
}

impl From<ArchiveError> for SessionError {
    fn from(error: ArchiveError) -> Self {
        Self { help: error.help(), ..Self::new(error.kind(), error.to_string()) }
    }
}

impl From<GenerateError> for SessionError {
    fn from(error: GenerateError) -> Self {
        match error {
            GenerateError::Data(error) => error.into(),
            GenerateError::InvalidOption(error) => Self::new("generate", error.to_string()).at(error.path),
            error => Self::new("generate", error.to_string()),
        }
    }
}

impl From<PretrainedError> for SessionError {
    fn from(error: PretrainedError) -> Self {
        let message = error.to_string();
        let at = |kind, file: &Path| Self::new(kind, message.clone()).at(file.display().to_string());
        match error {
            PretrainedError::Tokenizer(error) => error.into(),
            PretrainedError::Unsupported { file, error } => Self { help: error.suggestion, ..at("unknown", &file) },
            PretrainedError::NoTokenizer(file) => at("tokenizer", &file)
                .with_help("choose the tokenizer's files too: tokenizer.json, tokenizer_config.json"),
            PretrainedError::Load(error) => Self { help: error.help().map(Into::into), ..Self::new("model", message) },
            _ => Self::new("model", message),
        }
    }
}

impl From<ExecutionError> for SessionError {
    fn from(error: ExecutionError) -> Self {
        TrainError::from(error).into()
    }
}
