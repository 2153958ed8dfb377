//! Errors of a template, with the line that raised them.

use std::{error, fmt};

/// Result of parsing or rendering a template.
pub(in crate::chat) type Result<T> = std::result::Result<T, Error>;

/// Reason why a template cannot be parsed or rendered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::chat) enum ErrorKind {
    /// A mistake of the template, or a conversation that it rejects: the reference fails too.
    Template,
    /// A construct that the reference renders and this engine does not.
    Unsupported,
    /// A limit of time, memory or nesting.
    Limit,
}

/// Error of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::chat) struct Error {
    kind: ErrorKind,
    message: String,
    /// Line of the template, from 1.
    line: Option<usize>,
}

impl Error {
    /// An error that the reference raises too.
    pub(in crate::chat) fn new(message: impl Into<String>) -> Self {
        Self { kind: ErrorKind::Template, message: message.into(), line: None }
    }

    /// A construct that this engine does not support.
    pub(in crate::chat) fn unsupported(what: impl fmt::Display) -> Self {
        let message = format!("{what} is not supported by Kiln's template engine");
        Self { kind: ErrorKind::Unsupported, message, line: None }
    }

    /// A limit that the template exceeds.
    pub(in crate::chat) fn limit(message: impl Into<String>) -> Self {
        Self { kind: ErrorKind::Limit, message: message.into(), line: None }
    }

    /// The error with its line, unless a line that is nearer to the cause is known.
    pub(in crate::chat) fn at(mut self, line: usize) -> Self {
        self.line.get_or_insert(line);
        self
    }

    #[cfg(test)]
    pub(in crate::chat) fn kind(&self) -> ErrorKind {
        self.kind
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "line {line}: {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

impl error::Error for Error {}
