//! Errors of the command line: for people on standard error, for programs as JSON.

use super::output::print_message;
use kiln_spec::config::ConfigError;
use miette::{GraphicalReportHandler, LabeledSpan, NamedSource, SourceSpan};
use serde_json::{Value, json};
use std::{
    fmt,
    io::{self, IsTerminal},
};

/// Exit code of an operation that failed.
pub const EXIT_FAILURE: u8 = 1;
/// Exit code of invalid arguments or an invalid recipe.
pub const EXIT_USAGE: u8 = 2;
/// Exit code after Ctrl-C.
pub const EXIT_INTERRUPTED: u8 = 130;

/// Error of a command.
///
/// Built from the errors of the crates by the conversions in `error_conversions`, or from a message.
#[derive(Debug)]
pub struct CliError {
    /// Short identifier for programs, such as `usage` or `not-readable`.
    pub kind: &'static str,
    /// What is wrong, with the found and the expected value.
    pub message: String,
    /// File, line, recipe key or flag, as far as known.
    pub location: Option<String>,
    /// What to do.
    pub help: Option<String>,
    /// Exit code of the command.
    pub exit_code: u8,
    /// Source text and the range of the line at fault, for the graphical report.
    pub(super) snippet: Option<Box<(NamedSource<String>, SourceSpan)>>,
}

impl CliError {
    /// An error of this kind, without location and help.
    pub(super) fn new(kind: &'static str, message: String, exit_code: u8) -> Self {
        Self { kind, message, location: None, help: None, exit_code, snippet: None }
    }

    /// An operation that failed. Exit code 1.
    pub fn failed(kind: &'static str, message: impl Into<String>) -> Self {
        Self::new(kind, message.into(), EXIT_FAILURE)
    }

    /// Invalid arguments. Exit code 2.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new("usage", message.into(), EXIT_USAGE)
    }

    /// Sets the location.
    pub fn with_location(mut self, location: impl Into<String>) -> Self {
        self.location = Some(location.into());
        self
    }

    /// Sets the help.
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Prints the error to standard error: with the source line on a terminal, else as unwrapped plain lines.
    ///
    /// Plain lines start with `error:`, `  at:` and `  help:`. The location is left out if the message contains it.
    pub fn report(&self) {
        let mut report = String::new();
        let is_graphical =
            io::stderr().is_terminal() && GraphicalReportHandler::new().render_report(&mut report, self).is_ok();
        if is_graphical {
            return print_message(report.trim_end());
        }
        print_message(&format!("error: {}", self.message));
        if let Some(location) = self.unmentioned_location() {
            print_message(&format!("  at: {location}"));
        }
        if let Some(help) = &self.help {
            print_message(&format!("  help: {help}"));
        }
    }

    /// The object under the key `error` with `--json`.
    pub fn to_json(&self) -> Value {
        json!({ "kind": self.kind, "message": self.message, "where": self.location, "help": self.help })
    }

    /// The location, unless the message contains it.
    fn unmentioned_location(&self) -> Option<&String> {
        self.location.as_ref().filter(|location| !self.message.contains(location.as_str()))
    }

    /// Adds the source line of a configuration error, if its file can be read.
    pub(super) fn with_source_line(mut self, error: &ConfigError) -> Self {
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
    /// Used by the graphical report, which prints the location itself where it shows a source line.
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self.unmentioned_location() {
            Some(location) if self.snippet.is_none() => write!(f, "{location}: {}", self.message),
            _ => f.write_str(&self.message),
        }
    }
}

impl std::error::Error for CliError {}

impl miette::Diagnostic for CliError {
    /// Printed above the message.
    fn code(&self) -> Option<Box<dyn fmt::Display + '_>> {
        Some(Box::new(self.kind))
    }

    /// Printed below the message.
    fn help(&self) -> Option<Box<dyn fmt::Display + '_>> {
        self.help.as_ref().map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    /// The text around the error.
    fn source_code(&self) -> Option<&dyn miette::SourceCode> {
        self.snippet.as_ref().map(|snippet| &snippet.0 as &dyn miette::SourceCode)
    }

    /// Marks the line at fault.
    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let span = self.snippet.as_ref()?.1;
        Some(Box::new(std::iter::once(LabeledSpan::new_with_span(Some("here".into()), span))))
    }
}
