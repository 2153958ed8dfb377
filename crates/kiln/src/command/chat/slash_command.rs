//! Commands within a chat: lines that begin with `/`.

use crate::command::error::CliError;
use std::path::PathBuf;

/// What `/help` prints.
pub const HELP: &str = "\
/help            Show this help.
/reset           Start a new conversation; the system prompt stays.
/system [TEXT]   Set the system prompt; without TEXT, show it.
/save FILE       Write the conversation to a new JSON file.
/quit            End the chat (also /exit and Ctrl-D).

A message of several lines: end each line but the last with \\, or
put it between lines of \"\"\". A message that begins with /: write //.
Ctrl-C ends an answer; the text so far stays in the conversation.";

/// What a user entered: a message or a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UserInput {
    Message(String),
    Help,
    Reset,
    /// `None`: show the system prompt.
    System(Option<String>),
    Save(PathBuf),
    Quit,
}

impl UserInput {
    /// The input of a message, which may be a command.
    ///
    /// Fails for an unknown command, or one whose argument is missing or not expected.
    pub fn parse(text: String) -> Result<Self, CliError> {
        let Some(command) = text.strip_prefix('/') else { return Ok(Self::Message(text)) };
        if command.starts_with('/') {
            return Ok(Self::Message(command.to_owned()));
        }
        let (name, argument) = command.split_once(char::is_whitespace).unwrap_or((command, ""));
        let argument = argument.trim();
        let without_argument = |entry| {
            let message = format!("/{name} takes no argument, found {argument:?}");
            if argument.is_empty() { Ok(entry) } else { Err(CliError::usage(message)) }
        };
        match name {
            "help" | "?" => without_argument(Self::Help),
            "reset" | "clear" => without_argument(Self::Reset),
            "quit" | "exit" | "bye" => without_argument(Self::Quit),
            "system" => Ok(Self::System((!argument.is_empty()).then(|| argument.to_owned()))),
            "save" if argument.is_empty() => Err(CliError::usage("/save needs the name of a file: /save FILE")),
            "save" => Ok(Self::Save(argument.into())),
            _ => Err(CliError::usage(format!("unknown command /{name}"))
                .with_help("/help lists the commands; to send a message that begins with /, write //")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> UserInput {
        UserInput::parse(text.into()).unwrap()
    }

    #[test]
    fn lines_with_a_slash_are_commands() {
        assert_eq!(parse("Hello /help"), UserInput::Message("Hello /help".into()));
        assert_eq!(parse("//etc/hosts"), UserInput::Message("/etc/hosts".into()));
        assert_eq!(parse("/help"), UserInput::Help);
        assert_eq!([parse("/quit"), parse("/exit")], [UserInput::Quit, UserInput::Quit]);
        assert_eq!(parse("/system Be  brief. "), UserInput::System(Some("Be  brief.".into())));
        assert_eq!(parse("/system"), UserInput::System(None));
        assert_eq!(parse("/system two\nlines"), UserInput::System(Some("two\nlines".into())));
        assert_eq!(parse("/save a b.json"), UserInput::Save("a b.json".into()));
    }

    #[test]
    fn unknown_commands_and_arguments_are_refused() {
        for text in ["/rest", "/", "/reset all", "/save", "/save  ", "/etc/hosts"] {
            assert!(UserInput::parse(text.into()).is_err(), "{text}");
        }
    }
}
