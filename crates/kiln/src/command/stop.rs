//! Ctrl-C: the first one asks the run to stop, the second one ends the process.

use super::{
    output::say,
    trouble::{INTERRUPTED, Trouble},
};
use std::sync::atomic::{AtomicBool, Ordering};

static STOP: AtomicBool = AtomicBool::new(false);

/// Listens from now on; what it returns is set by the first Ctrl-C.
pub fn listen() -> Result<&'static AtomicBool, Trouble> {
    let again = || std::process::exit(i32::from(INTERRUPTED));
    let first = || say("\nstopping as soon as this step is saved; press Ctrl-C again to stop at once, without saving");
    ctrlc::set_handler(move || if STOP.swap(true, Ordering::SeqCst) { again() } else { first() })
        .map_err(|error| Trouble::failed("signal", format!("cannot listen for Ctrl-C: {error}")))?;
    Ok(&STOP)
}
