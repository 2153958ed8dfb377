//! What went wrong, for people and for machines.

use super::output::say;
use kiln_data::DataError;
use kiln_infer::GenerateError;
use kiln_spec::config::ConfigError;
use kiln_train::pretrained;
use kiln_train::{Failure, RunError};
use miette::{GraphicalReportHandler, LabeledSpan, NamedSource, SourceSpan};
use std::{
    fmt,
    io::{self, IsTerminal},
    path::PathBuf,
};

/// Exit code of what failed.
pub const FAILED: u8 = 1;
/// Exit code of what was asked wrongly.
pub const ASKED_WRONGLY: u8 = 2;
/// Exit code after Ctrl-C.
pub const INTERRUPTED: u8 = 130;

/// Why a command could not do what it was asked.
#[derive(Debug)]
pub struct Trouble {
    /// A short word for machines.
    pub kind: &'static str,
    /// What was expected and what was found.
    pub message: String,
    /// File, line and key, as far as they are known.
    pub place: Option<String>,
    /// What to do.
    pub help: Option<String>,
    /// The exit code.
    pub code: u8,
    source: Option<Box<(NamedSource<String>, SourceSpan)>>,
}

impl Trouble {
    fn new(kind: &'static str, message: String, code: u8) -> Self {
        Self { kind, message, place: None, help: None, code, source: None }
    }

    /// What could not be done.
    pub fn failed(kind: &'static str, message: impl Into<String>) -> Self {
        Self::new(kind, message.into(), FAILED)
    }

    /// What should have been asked otherwise.
    pub fn asked(message: impl Into<String>) -> Self {
        Self::new("usage", message.into(), ASKED_WRONGLY)
    }

    /// Adds where it is.
    pub fn at(mut self, place: impl Into<String>) -> Self {
        self.place = Some(place.into());
        self
    }

    /// Adds what to do.
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Tells people: with the line in question where there is a terminal, else in plain lines that are never wrapped.
    pub fn tell(&self) {
        let mut picture = String::new();
        let drawn =
            io::stderr().is_terminal() && GraphicalReportHandler::new().render_report(&mut picture, self).is_ok();
        if drawn {
            return say(picture.trim_end());
        }
        say(&format!("error: {}", self.message));
        self.elsewhere().into_iter().for_each(|place| say(&format!("  at: {place}")));
        self.help.iter().for_each(|help| say(&format!("  help: {help}")));
    }

    /// The place, unless the message says it.
    fn elsewhere(&self) -> Option<&String> {
        self.place.as_ref().filter(|place| !self.message.contains(place.as_str()))
    }

    /// Shows the line of a file that `error` is about.
    fn with_line(mut self, error: &ConfigError) -> Self {
        let text = error.file.as_ref().and_then(|file| std::fs::read_to_string(file).ok());
        if let (Some(file), Some(text), Some(line)) = (&error.file, text, error.line) {
            let start: usize = text.split_inclusive('\n').take(line - 1).map(str::len).sum();
            let length = text[start..].lines().next().map_or(0, str::len);
            self.source = Some(Box::new((NamedSource::new(file, text), (start, length).into())));
        }
        self
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self.elsewhere() {
            Some(place) if self.source.is_none() => write!(f, "{place}: {}", self.message),
            _ => f.write_str(&self.message),
        }
    }
}

impl std::error::Error for Trouble {}

impl miette::Diagnostic for Trouble {
    fn code(&self) -> Option<Box<dyn fmt::Display + '_>> {
        Some(Box::new(self.kind))
    }

    fn help(&self) -> Option<Box<dyn fmt::Display + '_>> {
        self.help.as_ref().map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn miette::SourceCode> {
        self.source.as_ref().map(|source| &source.0 as &dyn miette::SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let span = self.source.as_ref()?.1;
        Some(Box::new(std::iter::once(LabeledSpan::new_with_span(Some("here".into()), span))))
    }
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Config(error) => error.into(),
            Failure::Data(error) => error.into(),
            Failure::Run(error) => error.into(),
            Failure::Generate(error) => error.into(),
            Failure::Pretrained(error) => error.into(),
            other => Self { place: other.place(), help: other.help(), ..Self::failed(other.kind(), other.to_string()) },
        }
    }
}

impl From<pretrained::Error> for Trouble {
    fn from(error: pretrained::Error) -> Self {
        use pretrained::Error as E;
        let message = error.to_string();
        let failed = |kind, file: PathBuf| Self::failed(kind, message.clone()).at(file.display().to_string());
        match error {
            E::Run(failure) => (*failure).into(),
            E::Tokenizer(error) => error.into(),
            E::Nothing { path, .. } => failed("not-a-run", path).help(
                "name the folder of a run (the newest lie in `runs`), a folder with a config.json or an adapter_config.json, or a \
                 .gguf file",
            ),
            E::Base(base) => failed("no-base", base.adapter.clone())
                .help(format!("name the model, and the adapters by `--adapter {}`", base.adapter.display())),
            E::Adapter { folder, .. } => failed("adapter", folder),
            E::Io { file, .. } => failed("not-readable", file),
            E::Refused { file, refusal } => match refusal.instead {
                Some(instead) => failed("unknown", file).help(instead),
                None => failed("unknown", file),
            },
            E::Vocabulary { path, .. } => failed("model", path),
            E::NoTokenizer(file) => failed("tokenizer", file)
                .help("name a folder with a tokenizer, or a .gguf that carries one; `kiln logits` needs none"),
            E::Folder(error) => match error.help() {
                Some(help) => Self::failed("model", message).help(help),
                None => Self::failed("model", message),
            },
        }
    }
}

impl From<ConfigError> for Trouble {
    fn from(error: ConfigError) -> Self {
        let trouble = Self::new(error.kind(), error.message(), ASKED_WRONGLY);
        Self { place: error.place(), help: error.help(), ..trouble }.with_line(&error)
    }
}

impl From<DataError> for Trouble {
    fn from(error: DataError) -> Self {
        let code = if matches!(error, DataError::Config { .. }) { ASKED_WRONGLY } else { FAILED };
        Self { place: error.place(), help: Some(error.help()), ..Self::new(error.kind(), error.to_string(), code) }
    }
}

impl From<RunError> for Trouble {
    fn from(error: RunError) -> Self {
        let place = error.place().display().to_string();
        Self { place: Some(place), help: error.help(), ..Self::failed(error.kind(), error.to_string()) }
    }
}

impl From<GenerateError> for Trouble {
    fn from(error: GenerateError) -> Self {
        let asked =
            matches!(error, GenerateError::Option(_) | GenerateError::Long { .. } | GenerateError::NoBlank { .. });
        let trouble = Self { help: instead(&error).map(Into::into), ..Self::failed("generate", error.to_string()) };
        match error {
            GenerateError::Text(error) => error.into(),
            _ if asked => Self { code: ASKED_WRONGLY, ..trouble },
            _ => trouble,
        }
    }
}

/// What else a model that doesn't write can be asked.
fn instead(error: &GenerateError) -> Option<&'static str> {
    match error {
        GenerateError::Head { .. } => Some("`kiln embed` gives vectors of texts, `kiln logits` what the head says"),
        GenerateError::Encoder | GenerateError::Bidirectional => Some(
            "`kiln generate` fills the blanks of a prompt, `kiln embed` gives vectors of texts, `kiln logits` what the model \
             says at each token",
        ),
        _ => None,
    }
}

impl From<&clap::Error> for Trouble {
    fn from(error: &clap::Error) -> Self {
        let whole = error.render().to_string();
        let paragraphs: Vec<&str> = whole.split("\n\n").map(str::trim).filter(|part| !part.is_empty()).collect();
        let message = paragraphs.first().map_or(whole.as_str(), |first| first.trim_start_matches("error: "));
        let tips: Vec<&str> = paragraphs.iter().filter_map(|part| part.strip_prefix("tip: ")).collect();
        let trouble = Self::asked(message);
        if tips.is_empty() { trouble.help("see `kiln --help`") } else { trouble.help(tips.join("; ")) }
    }
}
