//! Terminal colors, by ANSI escape codes.

use std::io::{self, IsTerminal};

/// Text style of standard output: with or without escape codes.
#[derive(Clone, Copy, Debug)]
pub struct TextStyle(bool);

impl TextStyle {
    /// Colored if standard output is a terminal and `NO_COLOR` is unset or empty (no-color.org).
    pub fn for_stdout() -> Self {
        let is_allowed = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self(is_allowed && io::stdout().is_terminal())
    }

    /// Whether there are escape codes.
    pub fn has_color(self) -> bool {
        self.0
    }

    fn with_code(self, code: &str, text: &str) -> String {
        if self.0 { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.into() }
    }

    /// Bold, for names.
    pub fn bold(self, text: &str) -> String {
        self.with_code("1", text)
    }

    /// Yellow, for input tokens that differ from the text.
    pub fn changed(self, text: &str) -> String {
        self.with_code("33", text)
    }

    /// Green, for target tokens.
    pub fn target(self, text: &str) -> String {
        self.with_code("32", text)
    }
}
