//! Ctrl-C. In training, the first one stops the run after the current step, and the second one ends the process. In a chat,
//! it ends the answer.
//!
//! After the first Ctrl-C the run saves a checkpoint and returns, and the command exits with code 130. The second one exits
//! with code 130 at once; the last checkpoint remains valid, because checkpoints become visible by one rename.

use super::{
    dashboard::restore_terminal,
    error::{CliError, EXIT_INTERRUPTED},
    output::print_message,
};
use std::sync::atomic::{AtomicBool, Ordering};

/// Set by the first Ctrl-C.
static STOP_REQUESTED: AtomicBool = AtomicBool::new(false);

/// Installs the handler for training. Returns the flag that the first Ctrl-C sets.
pub fn listen_for_ctrl_c() -> Result<&'static AtomicBool, CliError> {
    listen(Some("\nstopping after this step is saved; press Ctrl-C again to stop at once without saving"))
}

/// Installs the handler for reading data. Returns the flag that the first Ctrl-C sets.
pub fn listen_for_reading() -> Result<&'static AtomicBool, CliError> {
    listen(None)
}

/// Installs the handler for a chat. Returns the flag that a Ctrl-C sets, which the end of an answer clears. A second one
/// before that exits at once.
pub fn listen_during_answers() -> Result<&'static AtomicBool, CliError> {
    listen(None)
}

/// Asks the run to stop, as the first Ctrl-C does.
#[cfg(feature = "tui")]
pub fn request_stop() {
    STOP_REQUESTED.store(true, Ordering::SeqCst);
}

/// Installs a handler. `message` is printed at the first Ctrl-C.
fn listen(message: Option<&'static str>) -> Result<&'static AtomicBool, CliError> {
    // The handler runs on a thread of its own, not in a signal handler, so that it may print.
    let handle = move || {
        if STOP_REQUESTED.swap(true, Ordering::SeqCst) {
            restore_terminal();
            std::process::exit(i32::from(EXIT_INTERRUPTED));
        }
        message.inspect(|message| print_message(message));
    };
    ctrlc::set_handler(handle)
        .map_err(|error| CliError::failed("signal", format!("cannot install a handler for Ctrl-C: {error}")))?;
    Ok(&STOP_REQUESTED)
}
