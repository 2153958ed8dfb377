//! The two streams. A reader that goes away ends the command in silence.

use super::error::CliError;
use serde_json::Value;
use std::io::{self, ErrorKind, Write};

/// What a command answers.
#[derive(Clone, Debug, Default)]
pub struct CommandOutput {
    /// For machines.
    pub json: Value,
    /// For people; empty if it was written as it came.
    pub text: String,
    /// The exit code.
    pub exit_code: u8,
}

impl CommandOutput {
    /// Success.
    pub fn new(json: Value, text: impl Into<String>) -> Self {
        Self { json, text: text.into(), exit_code: 0 }
    }
}

/// Writes a result with the end of its line; of nothing, nothing.
pub fn print_result(text: &str) -> Result<(), CliError> {
    match text.trim_end_matches('\n') {
        "" => Ok(()),
        text => print_chunk(&format!("{text}\n")),
    }
}

/// Writes a part of a result at once.
pub fn print_chunk(text: &str) -> Result<(), CliError> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => std::process::exit(0),
        Err(error) => Err(CliError::failed("io", format!("cannot write to standard output: {error}"))),
    }
}

/// Says a line to people.
pub fn print_message(text: &str) {
    // Whoever closed standard error does not want to know.
    let _ = writeln!(io::stderr().lock(), "{text}");
}
