//! Conversions of the crates' errors into [`CliError`]: kind, location, help and exit code of each.

use super::error::{CliError, EXIT_FAILURE, EXIT_USAGE};
use kiln_data::DataError;
use kiln_infer::GenerateError;
use kiln_spec::config::ConfigError;
use kiln_train::pretrained::PretrainedError;
use kiln_train::{RunFolderError, TrainError};
use std::path::Path;

impl From<TrainError> for CliError {
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
    fn from(error: PretrainedError) -> Self {
        let message = error.to_string();
        match error {
            PretrainedError::Run(error) => (*error).into(),
            PretrainedError::Tokenizer(error) => error.into(),
            PretrainedError::NotFound { path, .. } => failed_at("not-a-run", message, &path).with_help(
                "give a run folder (new runs are in `runs`), a folder with a config.json or an adapter_config.json, or a \
                 .gguf file",
            ),
            PretrainedError::MissingBase(base) => failed_at("no-base", message, &base.adapter)
                .with_help(format!("give the base model, and the adapters with `--adapter {}`", base.adapter.display())),
            PretrainedError::Adapter { folder, .. } => failed_at("adapter", message, &folder),
            PretrainedError::Io { file, .. } => failed_at("not-readable", message, &file),
            PretrainedError::Unsupported { file, refusal } => {
                Self { help: refusal.suggestion.map(Into::into), ..failed_at("unknown", message, &file) }
            }
            PretrainedError::VocabSizeMismatch { path, .. } => failed_at("model", message, &path),
            PretrainedError::NoTokenizer(file) => failed_at("tokenizer", message, &file)
                .with_help("use a model with a tokenizer, or `kiln logits`, which needs none"),
            PretrainedError::Folder(error) => Self { help: error.help().map(Into::into), ..Self::failed("model", message) },
        }
    }
}

fn failed_at(kind: &'static str, message: String, path: &Path) -> CliError {
    CliError::failed(kind, message).with_location(path.display().to_string())
}

impl From<ConfigError> for CliError {
    fn from(error: ConfigError) -> Self {
        let base = Self::new(error.code(), error.message(), EXIT_USAGE);
        Self { location: error.location(), help: error.help(), ..base }.with_source_line(&error)
    }
}

impl From<DataError> for CliError {
    fn from(error: DataError) -> Self {
        let exit_code = if matches!(error, DataError::Config { .. }) { EXIT_USAGE } else { EXIT_FAILURE };
        let base = Self::new(error.kind(), error.to_string(), exit_code);
        Self { location: error.location(), help: Some(error.help()), ..base }
    }
}

impl From<RunFolderError> for CliError {
    fn from(error: RunFolderError) -> Self {
        let location = error.location().display().to_string();
        Self { location: Some(location), help: error.help(), ..Self::failed(error.kind(), error.to_string()) }
    }
}

impl From<GenerateError> for CliError {
    fn from(error: GenerateError) -> Self {
        let is_usage = matches!(
            error,
            GenerateError::InvalidOption(_) | GenerateError::PromptTooLong { .. } | GenerateError::NoBlank { .. }
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
    fn from(error: &clap::Error) -> Self {
        let text = error.render().to_string();
        let paragraphs: Vec<&str> = text.split("\n\n").map(str::trim).filter(|part| !part.is_empty()).collect();
        let message = paragraphs.first().map_or(text.as_str(), |first| first.trim_start_matches("error: "));
        let tips: Vec<&str> = paragraphs.iter().filter_map(|part| part.strip_prefix("tip: ")).collect();
        let help = if tips.is_empty() { "see `kiln --help`".into() } else { tips.join("; ") };
        Self::usage(message).with_help(help)
    }
}
