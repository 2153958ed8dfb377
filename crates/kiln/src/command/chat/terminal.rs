//! The loop of a chat: reads an entry, carries it out, and reports errors.

use super::{
    input::Input,
    json_files::save_messages,
    session::ChatSession,
    slash_command::{HELP, UserInput},
};
use crate::command::{error::CliError, output::print_message};
use std::sync::atomic::AtomicBool;

/// Talks until the end of the input or `/quit`.
///
/// On a terminal an error is printed and the conversation continues; otherwise it ends the chat.
pub fn converse(session: &mut ChatSession, mut input: Input, interrupted: Option<&AtomicBool>) -> Result<(), CliError> {
    let is_terminal = input.is_terminal();
    if is_terminal {
        print_message("/help lists the commands; Ctrl-D ends the chat");
    }
    loop {
        let entry = match input.next_message() {
            Ok(Some(message)) => UserInput::parse(message),
            Ok(None) => return Ok(()),
            Err(error) => return Err(error),
        };
        match entry.and_then(|entry| carry_out(session, entry, interrupted)) {
            Ok(true) => {}
            Ok(false) => return Ok(()),
            Err(error) if is_terminal => error.report(),
            Err(error) => return Err(error),
        }
    }
}

/// Carries out an entry. Returns whether the chat continues.
fn carry_out(session: &mut ChatSession, entry: UserInput, interrupted: Option<&AtomicBool>) -> Result<bool, CliError> {
    match entry {
        UserInput::Message(message) => session.respond(&message, interrupted)?,
        UserInput::Help => print_message(HELP),
        UserInput::Reset => {
            session.reset();
            print_message("new conversation");
        }
        UserInput::System(Some(text)) => session.set_system(&text),
        UserInput::System(None) => {
            print_message(session.system().unwrap_or("no system prompt; set one with /system TEXT"))
        }
        UserInput::Save(path) => {
            save_messages(&path, session.messages())?;
            print_message(&format!("{} messages written to {}", session.messages().len(), path.display()));
        }
        UserInput::Quit => return Ok(false),
    }
    Ok(true)
}
