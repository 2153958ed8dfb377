//! The terminal while the dashboard is open.
//!
//! The renderer puts the terminal into raw mode, in which Ctrl-C is a key without effect. Kiln turns the signal of Ctrl-C on
//! again, so that it stops the run as it does without a dashboard. On Windows this is not possible; the key `q` stops the run.

use crossterm::{
    cursor::Show,
    event::DisableMouseCapture,
    execute,
    terminal::{LeaveAlternateScreen, disable_raw_mode, is_raw_mode_enabled},
};
use std::{
    io,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

/// Whether the renderer may have changed the terminal.
static IS_OPEN: AtomicBool = AtomicBool::new(false);

/// Number of times that [`opened`] looks for raw mode, each after [`WAIT`].
const MAX_WAITS: usize = 200;
const WAIT: Duration = Duration::from_millis(5);

/// Prepares the terminal after the renderer was started. Waits until its thread has changed the mode.
pub fn opened() {
    IS_OPEN.store(true, Ordering::SeqCst);
    for _ in 0..MAX_WAITS {
        if is_raw_mode_enabled().unwrap_or(true) {
            break;
        }
        thread::sleep(WAIT);
    }
    enable_ctrl_c();
}

/// Notes that the renderer has given the terminal back.
pub fn closed() {
    IS_OPEN.store(false, Ordering::SeqCst);
}

/// Gives the terminal back at once, before the process ends. Does nothing if no dashboard is open.
pub fn restore() {
    if IS_OPEN.swap(false, Ordering::SeqCst) {
        // The process ends: there is nobody to tell about an error.
        let _ = disable_raw_mode();
        let _ = execute!(io::stdout(), DisableMouseCapture, LeaveAlternateScreen, Show);
    }
}

/// Lets Ctrl-C send its signal. Ctrl-Z and Ctrl-\ stay off: they would leave the screen behind.
#[cfg(unix)]
fn enable_ctrl_c() {
    use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, tcgetattr, tcsetattr};
    /// The character that no key sends (`_POSIX_VDISABLE`).
    const NO_KEY: u8 = if cfg!(any(target_os = "linux", target_os = "android")) { 0 } else { 0xff };
    // Without the signal, the key `q` still stops the run.
    if let Ok(mut mode) = tcgetattr(io::stdin()) {
        mode.local_modes |= LocalModes::ISIG;
        mode.special_codes[SpecialCodeIndex::VSUSP] = NO_KEY;
        mode.special_codes[SpecialCodeIndex::VQUIT] = NO_KEY;
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &mode);
    }
}

#[cfg(not(unix))]
fn enable_ctrl_c() {}
