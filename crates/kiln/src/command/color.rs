//! Colours for people's terminals, and for nobody else.

use std::io::{self, IsTerminal};

/// Whether text is coloured.
#[derive(Clone, Copy, Debug)]
pub struct TextStyle(bool);

impl TextStyle {
    /// For standard output: coloured on a terminal, unless `NO_COLOR` says otherwise (no-color.org).
    pub fn for_stdout() -> Self {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self(wanted && io::stdout().is_terminal())
    }

    fn with_code(self, code: &str, text: &str) -> String {
        if self.0 { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.into() }
    }

    /// A name.
    pub fn bold(self, text: &str) -> String {
        self.with_code("1", text)
    }

    /// What is not as it was.
    pub fn changed(self, text: &str) -> String {
        self.with_code("33", text)
    }

    /// What is to be predicted.
    pub fn target(self, text: &str) -> String {
        self.with_code("32", text)
    }
}
