//! The two streams. A reader that goes away ends the command in silence.

use super::trouble::Trouble;
use serde_json::Value;
use std::io::{self, ErrorKind, Write};

/// What a command answers.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// For machines.
    pub json: Value,
    /// For people; empty if it was written as it came.
    pub text: String,
    /// The exit code.
    pub code: u8,
}

impl Answer {
    /// Success.
    pub fn new(json: Value, text: impl Into<String>) -> Self {
        Self { json, text: text.into(), code: 0 }
    }
}

/// Writes a result with the end of its line; of nothing, nothing.
pub fn result(text: &str) -> Result<(), Trouble> {
    match text.trim_end_matches('\n') {
        "" => Ok(()),
        text => piece(&format!("{text}\n")),
    }
}

/// Writes a part of a result at once.
pub fn piece(text: &str) -> Result<(), Trouble> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => std::process::exit(0),
        Err(error) => Err(Trouble::failed("io", format!("cannot write to standard output: {error}"))),
    }
}

/// Says a line to people.
pub fn say(text: &str) {
    // Whoever closed standard error does not want to know.
    let _ = writeln!(io::stderr().lock(), "{text}");
}
