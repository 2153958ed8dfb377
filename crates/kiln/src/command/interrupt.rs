//! Ctrl-C: the first one stops the run after the current step, the second one ends the process.
//!
//! After the first Ctrl-C the run saves a checkpoint and returns, and the command exits with code 130. The second one exits
//! with code 130 at once; the last checkpoint remains valid, because checkpoints become visible by one rename.

use super::{
    error::{CliError, EXIT_INTERRUPTED},
    output::print_message,
};
use std::sync::atomic::{AtomicBool, Ordering};

/// Set by the first Ctrl-C.
static STOP_REQUESTED: AtomicBool = AtomicBool::new(false);

/// Installs the handler. Returns the flag that the first Ctrl-C sets.
pub fn listen_for_ctrl_c() -> Result<&'static AtomicBool, CliError> {
    ctrlc::set_handler(handle_ctrl_c)
        .map_err(|error| CliError::failed("signal", format!("cannot install a handler for Ctrl-C: {error}")))?;
    Ok(&STOP_REQUESTED)
}

/// Runs on a thread of its own, not in a signal handler, so that it may print.
fn handle_ctrl_c() {
    if STOP_REQUESTED.swap(true, Ordering::SeqCst) {
        std::process::exit(i32::from(EXIT_INTERRUPTED));
    }
    print_message("\nstopping after this step is saved; press Ctrl-C again to stop at once without saving");
}
