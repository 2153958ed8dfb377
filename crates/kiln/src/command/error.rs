//! What went wrong, for people and for machines.

use super::output::print_message;
use kiln_data::DataError;
use kiln_infer::GenerateError;
use kiln_pretrained::PretrainedError;
use kiln_spec::config::ConfigError;
use kiln_train::{RunFolderError, TrainError};
use miette::{GraphicalReportHandler, LabeledSpan, NamedSource, SourceSpan};
use std::{
    fmt,
    io::{self, IsTerminal},
    path::PathBuf,
};

/// Exit code of what failed.
pub const EXIT_FAILURE: u8 = 1;
/// Exit code of what was asked wrongly.
pub const EXIT_USAGE: u8 = 2;
/// Exit code after Ctrl-C.
pub const EXIT_INTERRUPTED: u8 = 130;

/// Why a command could not do what it was asked.
#[derive(Debug)]
pub struct CliError {
    /// A short word for machines.
    pub kind: &'static str,
    /// What was expected and what was found.
    pub message: String,
    /// File, line and key, as far as they are known.
    pub location: Option<String>,
    /// What to do.
    pub help: Option<String>,
    /// The exit code.
    pub exit_code: u8,
    snippet: Option<Box<(NamedSource<String>, SourceSpan)>>,
}

impl CliError {
    fn new(kind: &'static str, message: String, code: u8) -> Self {
        Self { kind, message, location: None, help: None, exit_code: code, snippet: None }
    }

    /// What could not be done.
    pub fn failed(kind: &'static str, message: impl Into<String>) -> Self {
        Self::new(kind, message.into(), EXIT_FAILURE)
    }

    /// What should have been asked otherwise.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new("usage", message.into(), EXIT_USAGE)
    }

    /// Adds where it is.
    pub fn with_location(mut self, place: impl Into<String>) -> Self {
        self.location = Some(place.into());
        self
    }

    /// Adds what to do.
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Tells people: with the line in question where there is a terminal, else in plain lines that are never wrapped.
    pub fn report(&self) {
        let mut picture = String::new();
        let drawn =
            io::stderr().is_terminal() && GraphicalReportHandler::new().render_report(&mut picture, self).is_ok();
        if drawn {
            return print_message(picture.trim_end());
        }
        print_message(&format!("error: {}", self.message));
        self.unmentioned_location().into_iter().for_each(|place| print_message(&format!("  at: {place}")));
        self.help.iter().for_each(|help| print_message(&format!("  help: {help}")));
    }

    /// The place, unless the message says it.
    fn unmentioned_location(&self) -> Option<&String> {
        self.location.as_ref().filter(|place| !self.message.contains(place.as_str()))
    }

    /// Shows the line of a file that `error` is about.
    fn with_source_line(mut self, error: &ConfigError) -> Self {
        let text = error.file.as_ref().and_then(|file| std::fs::read_to_string(file).ok());
        if let (Some(file), Some(text), Some(line)) = (&error.file, text, error.line) {
            let start: usize = text.split_inclusive('\n').take(line - 1).map(str::len).sum();
            let length = text[start..].lines().next().map_or(0, str::len);
            self.snippet = Some(Box::new((NamedSource::new(file, text), (start, length).into())));
        }
        self
    }
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self.unmentioned_location() {
            Some(place) if self.snippet.is_none() => write!(f, "{place}: {}", self.message),
            _ => f.write_str(&self.message),
        }
    }
}

impl std::error::Error for CliError {}

impl miette::Diagnostic for CliError {
    fn code(&self) -> Option<Box<dyn fmt::Display + '_>> {
        Some(Box::new(self.kind))
    }

    fn help(&self) -> Option<Box<dyn fmt::Display + '_>> {
        self.help.as_ref().map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn miette::SourceCode> {
        self.snippet.as_ref().map(|source| &source.0 as &dyn miette::SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let span = self.snippet.as_ref()?.1;
        Some(Box::new(std::iter::once(LabeledSpan::new_with_span(Some("here".into()), span))))
    }
}

impl From<TrainError> for CliError {
    fn from(failure: TrainError) -> Self {
        match failure {
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
        let failed =
            |kind, file: PathBuf| Self::failed(kind, message.clone()).with_location(file.display().to_string());
        match error {
            PretrainedError::Tokenizer(error) => error.into(),
            PretrainedError::NotFound { path, .. } => failed("not-a-run", path).with_help(
                "name the folder of a run (the newest are in `runs`), a folder with a config.json or an \
                 adapter_config.json, or a .gguf file",
            ),
            PretrainedError::MissingBase { adapter, .. } => failed("no-base", adapter.clone())
                .with_help(format!("name the model, and the adapters by `--adapter {}`", adapter.display())),
            PretrainedError::Adapter { folder, .. } => failed("adapter", folder),
            PretrainedError::Unsupported { file, error } => match error.suggestion {
                Some(suggestion) => failed("unknown", file).with_help(suggestion),
                None => failed("unknown", file),
            },
            PretrainedError::VocabSizeMismatch { path, .. } => failed("model", path),
            PretrainedError::NoTokenizer(file) => failed("tokenizer", file)
                .with_help("name a folder with a tokenizer, or a .gguf file that has one; `kiln logits` needs none"),
            PretrainedError::Load(error) => match error.help() {
                Some(help) => Self::failed("model", message).with_help(help),
                None => Self::failed("model", message),
            },
            PretrainedError::Hub(_) => Self::failed("hub", message),
            _ => Self::failed("model", message),
        }
    }
}

impl From<ConfigError> for CliError {
    fn from(error: ConfigError) -> Self {
        let trouble = Self::new(error.code(), error.message(), EXIT_USAGE);
        Self { location: error.location(), help: error.help(), ..trouble }.with_source_line(&error)
    }
}

impl From<DataError> for CliError {
    fn from(error: DataError) -> Self {
        let code = if matches!(error, DataError::Config { .. }) { EXIT_USAGE } else { EXIT_FAILURE };
        Self {
            location: error.location(),
            help: Some(error.help()),
            ..Self::new(error.kind(), error.to_string(), code)
        }
    }
}

impl From<RunFolderError> for CliError {
    fn from(error: RunFolderError) -> Self {
        let place = error.location().display().to_string();
        Self { location: Some(place), help: error.help(), ..Self::failed(error.kind(), error.to_string()) }
    }
}

impl From<GenerateError> for CliError {
    fn from(error: GenerateError) -> Self {
        let asked = matches!(
            error,
            GenerateError::InvalidOption(_) | GenerateError::PromptTooLong { .. } | GenerateError::NoBlank { .. }
        );
        let trouble = Self { help: suggestion(&error).map(Into::into), ..Self::failed("generate", error.to_string()) };
        match error {
            GenerateError::Data(error) => error.into(),
            _ if asked => Self { exit_code: EXIT_USAGE, ..trouble },
            _ => trouble,
        }
    }
}

/// What else a model that doesn't write can be asked.
fn suggestion(error: &GenerateError) -> Option<&'static str> {
    match error {
        GenerateError::NoLanguageHead { .. } => {
            Some("`kiln embed` gives vectors of texts, `kiln logits` what the head says")
        }
        GenerateError::EncoderOnly | GenerateError::Bidirectional => Some(
            "`kiln generate` fills the blanks of a prompt, `kiln embed` gives vectors of texts, `kiln logits` what the model \
             says at each token",
        ),
        _ => None,
    }
}

impl From<&clap::Error> for CliError {
    fn from(error: &clap::Error) -> Self {
        let whole = error.render().to_string();
        let paragraphs: Vec<&str> = whole.split("\n\n").map(str::trim).filter(|part| !part.is_empty()).collect();
        let message = paragraphs.first().map_or(whole.as_str(), |first| first.trim_start_matches("error: "));
        let tips: Vec<&str> = paragraphs.iter().filter_map(|part| part.strip_prefix("tip: ")).collect();
        let trouble = Self::usage(message);
        if tips.is_empty() { trouble.with_help("see `kiln --help`") } else { trouble.with_help(tips.join("; ")) }
    }
}
