//! Conversions of the crates' errors into [`CliError`]: kind, location, help and exit code of each.
//!
//! The message is always the `Display` text of the error. An error that wraps one of another crate is converted by the
//! conversion of the inner error, so that kind and location are those of the cause. Errors in recipes and options have exit
//! code 2, all others 1.

use super::error::{CliError, EXIT_FAILURE, EXIT_INTERRUPTED, EXIT_USAGE};
use kiln_data::DataError;
use kiln_infer::GenerateError;
use kiln_pretrained::PretrainedError;
use kiln_spec::config::ConfigError;
use kiln_train::{RunFolderError, TrainError};
use std::path::Path;

impl From<TrainError> for CliError {
    /// Errors of the run itself state their kind, location and help.
    fn from(error: TrainError) -> Self {
        match error {
            TrainError::Config(error) => error.into(),
            TrainError::Data(error) => error.into(),
            TrainError::RunFolder(error) => error.into(),
            TrainError::Generate(error) => error.into(),
            TrainError::Pretrained(error) => error.into(),
            other => {
                Self { location: other.location(), help: other.help(), ..Self::failed(other.kind(), other.to_string()) }
            }
        }
    }
}

impl From<PretrainedError> for CliError {
    /// The location is the file or the folder at fault; missing files are explained in the help.
    fn from(error: PretrainedError) -> Self {
        let message = error.to_string();
        match error {
            PretrainedError::Tokenizer(error) => error.into(),
            PretrainedError::NotFound { path, .. } => failed_at("not-a-run", message, &path).with_help(
                "give a run folder (new runs are in `runs`), a folder with a config.json or an adapter_config.json, or a \
                 .gguf file",
            ),
            PretrainedError::MissingBase { adapter, .. } => failed_at("no-base", message, &adapter)
                .with_help(format!("give the base model, and the adapters with `--adapter {}`", adapter.display())),
            PretrainedError::Adapter { folder, error } => {
                Self { help: error.help().map(Into::into), ..failed_at("adapter", message, &folder) }
            }
            PretrainedError::Unsupported { file, error } => {
                Self { help: error.suggestion, ..failed_at("unknown", message, &file) }
            }
            PretrainedError::NoTokenizer(file) => failed_at("tokenizer", message, &file)
                .with_help("use a model with a tokenizer, or `kiln logits`, which needs none"),
            PretrainedError::Load(error) => Self { help: error.help().map(Into::into), ..Self::failed("model", message) },
            PretrainedError::Hub(_) => Self::failed("hub", message),
            _ => Self::failed("model", message),
        }
    }
}

/// An error with a path as its location.
fn failed_at(kind: &'static str, message: String, path: &Path) -> CliError {
    CliError::failed(kind, message).with_location(path.display().to_string())
}

impl From<ConfigError> for CliError {
    /// Errors in recipes and `--set`: the location has file, line and key, and the report shows the line.
    fn from(error: ConfigError) -> Self {
        let base = Self::new(error.code(), error.message(), EXIT_USAGE);
        Self { location: error.location(), help: error.help(), ..base }.with_source_line(&error)
    }
}

impl From<DataError> for CliError {
    /// Errors in texts and tokenizers always have a help. Only an error in the data configuration is the fault of the
    /// recipe. Reading is interrupted by Ctrl-C only.
    fn from(error: DataError) -> Self {
        let exit_code = match error {
            DataError::Config { .. } => EXIT_USAGE,
            DataError::Stopped { .. } => EXIT_INTERRUPTED,
            _ => EXIT_FAILURE,
        };
        let base = Self::new(error.kind(), error.to_string(), exit_code);
        Self { location: error.location(), help: Some(error.help()), ..base }
    }
}

impl From<RunFolderError> for CliError {
    /// The location is a file or folder of the run.
    fn from(error: RunFolderError) -> Self {
        let location = error.location().display().to_string();
        Self { location: Some(location), help: error.help(), ..Self::failed(error.kind(), error.to_string()) }
    }
}

impl From<GenerateError> for CliError {
    /// Invalid options, prompts that are too long and prompts without `___` are usage errors.
    fn from(error: GenerateError) -> Self {
        let is_usage = matches!(
            error,
            GenerateError::InvalidOption(_)
                | GenerateError::PromptTooLong { .. }
                | GenerateError::NoRoom { .. }
                | GenerateError::NoBlank { .. }
        );
        let help = suggestion(&error).map(String::from);
        let exit_code = if is_usage { EXIT_USAGE } else { EXIT_FAILURE };
        let message = error.to_string();
        match error {
            GenerateError::Data(error) => error.into(),
            _ => Self { help, ..Self::new("generate", message, exit_code) },
        }
    }
}

/// Commands for a model that cannot generate text.
fn suggestion(error: &GenerateError) -> Option<&'static str> {
    match error {
        GenerateError::NoLanguageHead { .. } => {
            Some("use `kiln embed` for sentence embeddings, or `kiln logits` for the output of the head")
        }
        GenerateError::EncoderOnly | GenerateError::Bidirectional => Some(
            "use `kiln generate` with `___` in the prompt to fill in text, `kiln embed` for sentence embeddings, or \
             `kiln logits` for the logits of each token",
        ),
        _ => None,
    }
}

impl From<&clap::Error> for CliError {
    /// The message is the first paragraph of clap's text, the help its tips. Usage lines are left out.
    fn from(error: &clap::Error) -> Self {
        let text = error.render().to_string();
        let paragraphs: Vec<&str> = text.split("\n\n").map(str::trim).filter(|part| !part.is_empty()).collect();
        let message = paragraphs.first().map_or(text.as_str(), |first| first.trim_start_matches("error: "));
        let tips: Vec<&str> = paragraphs.iter().filter_map(|part| part.strip_prefix("tip: ")).collect();
        let help = if tips.is_empty() { "see `kiln --help`".into() } else { tips.join("; ") };
        Self::usage(message).with_help(help)
    }
}
