//! Messages from standard input, which may have several lines.
//!
//! On a terminal, lines are edited with the keys of readline, and the earlier ones are kept for this chat alone.

use crate::command::error::CliError;
use rustyline::{Config, DefaultEditor, error::ReadlineError};
use std::io::{self, BufRead, IsTerminal, Lines, StdinLock, Write};

/// Mark before and behind a message of several lines.
const BLOCK_MARK: &str = "\"\"\"";

/// Where lines come from.
enum LineSource {
    /// Standard input and output are a terminal.
    Editor(Box<DefaultEditor>),
    /// `prompts`: standard input is a terminal, and standard output is not.
    Plain { lines: Lines<StdinLock<'static>>, prompts: bool },
}

/// Messages from standard input.
pub struct Input(LineSource);

/// What reading a line gave.
#[derive(Debug, PartialEq, Eq)]
enum Line {
    Text(String),
    /// Ctrl-C.
    Interrupted,
    End,
}

impl Input {
    pub fn open() -> Result<Self, CliError> {
        let is_terminal = io::stdin().is_terminal();
        if is_terminal && io::stdout().is_terminal() {
            let config = Config::builder().auto_add_history(false).build();
            let editor = DefaultEditor::with_config(config).map_err(|error| editor_error(&error))?;
            return Ok(Self(LineSource::Editor(Box::new(editor))));
        }
        Ok(Self(LineSource::Plain { lines: io::stdin().lock().lines(), prompts: is_terminal }))
    }

    /// Whether a person types the messages.
    pub fn is_terminal(&self) -> bool {
        matches!(self.0, LineSource::Editor(_) | LineSource::Plain { prompts: true, .. })
    }

    /// The next message that is not empty; `None` at the end of the input. Ctrl-C discards the message so far.
    pub fn next_message(&mut self) -> Result<Option<String>, CliError> {
        let message = read_message(|prompt| self.0.read_line(prompt))?;
        if let (Some(message), LineSource::Editor(editor)) = (&message, &mut self.0) {
            // A history that cannot grow does not keep the message from being sent.
            let _ = editor.add_history_entry(message);
        }
        Ok(message)
    }
}

impl LineSource {
    fn read_line(&mut self, prompt: &str) -> Result<Line, CliError> {
        match self {
            Self::Editor(editor) => match editor.readline(prompt) {
                Ok(line) => Ok(Line::Text(line)),
                Err(ReadlineError::Interrupted) => Ok(Line::Interrupted),
                Err(ReadlineError::Eof) => Ok(Line::End),
                Err(error) => Err(editor_error(&error)),
            },
            Self::Plain { lines, prompts } => {
                if *prompts {
                    // Nothing is lost if the prompt cannot be written.
                    let _ = write!(io::stderr(), "{prompt}").and_then(|()| io::stderr().flush());
                }
                match lines.next() {
                    Some(Ok(line)) => Ok(Line::Text(line)),
                    Some(Err(error)) => Err(CliError::failed("io", format!("cannot read standard input: {error}"))),
                    None => Ok(Line::End),
                }
            }
        }
    }
}

fn editor_error(error: &ReadlineError) -> CliError {
    CliError::failed("io", format!("cannot read from the terminal: {error}"))
}

/// Reads lines up to the end of a message; `None` at the end of the input.
///
/// A line that ends with `\` continues on the next one. A message between two marks `"""` keeps its lines.
fn read_message(mut read_line: impl FnMut(&str) -> Result<Line, CliError>) -> Result<Option<String>, CliError> {
    let mut lines: Vec<String> = Vec::new();
    let mut in_block = false;
    loop {
        let is_first = lines.is_empty() && !in_block;
        let line = match read_line(if is_first { "> " } else { "... " })? {
            Line::Text(line) => line,
            Line::Interrupted => {
                (lines, in_block) = (Vec::new(), false);
                continue;
            }
            Line::End if in_block => {
                return Err(CliError::failed(
                    "chat",
                    format!("the input ends in a message that began with {BLOCK_MARK}"),
                )
                .with_help(format!("end the message with {BLOCK_MARK}")));
            }
            Line::End if lines.is_empty() => return Ok(None),
            Line::End => return Ok(Some(lines.join("\n"))),
        };
        if let Some(rest) = line.trim_start().strip_prefix(BLOCK_MARK).filter(|_| is_first) {
            in_block = true;
            match rest.strip_suffix(BLOCK_MARK) {
                Some(message) if !message.trim().is_empty() => return Ok(Some(message.to_owned())),
                _ if !rest.is_empty() => lines.push(rest.to_owned()),
                _ => {}
            }
        } else if in_block {
            let Some(last) = line.trim_end().strip_suffix(BLOCK_MARK) else {
                lines.push(line);
                continue;
            };
            lines.extend((!last.is_empty()).then(|| last.to_owned()));
            let message = lines.join("\n");
            if !message.trim().is_empty() {
                return Ok(Some(message));
            }
            (lines, in_block) = (Vec::new(), false);
        } else if let Some(continued) = line.strip_suffix('\\') {
            lines.push(continued.to_owned());
        } else {
            lines.push(line);
            let message = lines.join("\n");
            if !message.trim().is_empty() {
                return Ok(Some(message));
            }
            lines.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All messages of these lines; `^C` is Ctrl-C.
    fn messages(lines: &str) -> Result<Vec<String>, CliError> {
        let mut lines = lines.split('\n');
        let mut messages = Vec::new();
        let mut next = |_: &str| {
            Ok(match lines.next() {
                Some("^C") => Line::Interrupted,
                Some(line) => Line::Text(line.into()),
                None => Line::End,
            })
        };
        while let Some(message) = read_message(&mut next)? {
            messages.push(message);
        }
        Ok(messages)
    }

    #[test]
    fn messages_have_one_or_several_lines() {
        let cases: [(&str, &[&str]); 8] = [
            ("a\n\n  \nb", &["a", "b"]),
            (" a \nb", &[" a ", "b"]),
            ("a\\\nb\\\n\nc", &["a\nb\n", "c"]),
            ("a\\", &["a"]),
            ("\"\"\"\na\n\n  b\n\"\"\"\nc", &["a\n\n  b", "c"]),
            ("\"\"\"a\nb\"\"\"\n\"\"\"c\"\"\"", &["a\nb", "c"]),
            ("a\\\n^C\nb\n\"\"\"\nc\n^C\nd", &["b", "d"]),
            ("say \"\"\"x\"\"\"\n\"\"\"\n\"\"\"\ny", &["say \"\"\"x\"\"\"", "y"]),
        ];
        for (lines, expected) in cases {
            assert_eq!(messages(lines).unwrap(), expected, "{lines:?}");
        }
        assert!(messages("\"\"\"\na\n").is_err());
    }
}
