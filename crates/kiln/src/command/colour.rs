//! Colours for people's terminals, and for nobody else.

use std::io::{self, IsTerminal};

/// Whether text is coloured.
#[derive(Clone, Copy, Debug)]
pub struct Paint(bool);

impl Paint {
    /// For standard output: coloured on a terminal, unless `NO_COLOR` says otherwise (no-color.org).
    pub fn of_output() -> Self {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self(wanted && io::stdout().is_terminal())
    }

    fn with(self, code: &str, text: &str) -> String {
        if self.0 { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.into() }
    }

    /// A name.
    pub fn bold(self, text: &str) -> String {
        self.with("1", text)
    }

    /// What is not as it was.
    pub fn changed(self, text: &str) -> String {
        self.with("33", text)
    }

    /// What is to be predicted.
    pub fn asked(self, text: &str) -> String {
        self.with("32", text)
    }
}
