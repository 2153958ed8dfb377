//! Standard output and standard error. A closed standard output ends the command silently, as in `kiln … | head`.

use super::{error::CliError, line_width::fold_lines};
use serde_json::Value;
use std::{
    io::{self, ErrorKind, Write},
    sync::{Mutex, PoisonError},
};

/// Result of a command.
#[derive(Clone, Debug, Default)]
pub struct CommandOutput {
    /// Result with `--json`.
    pub json: Value,
    /// Result as text. Empty if the command has printed it already.
    pub text: String,
    /// Exit code.
    pub exit_code: u8,
}

impl CommandOutput {
    /// A success, with exit code 0.
    pub fn new(json: Value, text: impl Into<String>) -> Self {
        Self { json, text: text.into(), exit_code: 0 }
    }
}

/// Prints a result with exactly one newline at its end. Prints nothing for an empty text.
pub fn print_result(text: &str) -> Result<(), CliError> {
    match text.trim_end_matches('\n') {
        "" => Ok(()),
        text => print_chunk(&format!("{text}\n")),
    }
}

/// Prints a part of a result and flushes.
pub fn print_chunk(text: &str) -> Result<(), CliError> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => std::process::exit(0),
        Err(error) => Err(CliError::failed("io", format!("cannot write to standard output: {error}"))),
    }
}

/// Prints a text to standard error, in lines of at most 80 characters.
pub fn print_folded(text: &str) {
    print_message(&fold_lines(text));
}

/// Messages that wait for the end of a full-screen view; `None` if there is no such view.
static HELD_MESSAGES: Mutex<Option<Vec<String>>> = Mutex::new(None);

/// Prints a line to standard error, or keeps it until [`release_messages`]. A closed standard error is ignored.
pub fn print_message(text: &str) {
    match &mut *HELD_MESSAGES.lock().unwrap_or_else(PoisonError::into_inner) {
        Some(held) => held.push(text.to_owned()),
        None => write_message(text),
    }
}

fn write_message(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Keeps all messages from now on, because a full-screen view covers standard error.
#[cfg(feature = "tui")]
pub fn hold_messages() {
    HELD_MESSAGES.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_default();
}

/// Prints the messages that were kept. Later ones are printed at once.
#[cfg(feature = "tui")]
pub fn release_messages() {
    let held = HELD_MESSAGES.lock().unwrap_or_else(PoisonError::into_inner).take();
    held.into_iter().flatten().for_each(|text| write_message(&text));
}
