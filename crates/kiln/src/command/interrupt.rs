//! Ctrl-C: the first one asks the run to stop, the second one ends the process.

use super::{
    error::{CliError, EXIT_INTERRUPTED},
    output::print_message,
};
use std::sync::atomic::{AtomicBool, Ordering};

static STOP_REQUESTED: AtomicBool = AtomicBool::new(false);

/// Listens from now on; what it returns is set by the first Ctrl-C.
pub fn listen_for_ctrl_c() -> Result<&'static AtomicBool, CliError> {
    let again = || std::process::exit(i32::from(EXIT_INTERRUPTED));
    let first = || {
        print_message("\nstopping as soon as this step is saved; press Ctrl-C again to stop at once, without saving")
    };
    ctrlc::set_handler(move || if STOP_REQUESTED.swap(true, Ordering::SeqCst) { again() } else { first() })
        .map_err(|error| CliError::failed("signal", format!("cannot listen for Ctrl-C: {error}")))?;
    Ok(&STOP_REQUESTED)
}
