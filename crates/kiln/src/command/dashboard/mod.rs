//! The terminal dashboard of burn-train, fed with the metrics of a run (`kiln train --tui`).
//!
//! The training loop is Kiln's; of burn-train only the renderer is used. Its thread draws the screen and reads the keys. An
//! "epoch" of the dashboard is a stage of the run, and an "item" is a step: these words are part of the renderer
//! (`burn-train/src/renderer/tui/renderer.rs`, `TrainingProgressLogger::start`). Messages that are printed while the
//! dashboard is shown appear after it.
//!
//! Without the feature `tui`, or without a terminal, the progress is printed as lines.

#[cfg(feature = "tui")]
mod metrics;
#[cfg(feature = "tui")]
mod screen;
#[cfg(feature = "tui")]
mod terminal;

#[cfg(feature = "tui")]
pub use screen::Dashboard;
#[cfg(feature = "tui")]
pub use terminal::restore as restore_terminal;

use std::io::{self, IsTerminal};

/// The dashboard, or the reason why it cannot be shown, as a sentence.
pub fn prepare() -> Result<Dashboard, &'static str> {
    if cfg!(not(feature = "tui")) {
        return Err("--tui: this program was built without the feature `tui`; the progress is printed as lines");
    }
    if !(io::stdin().is_terminal() && io::stdout().is_terminal()) {
        return Err("--tui: standard input and output are not a terminal; the progress is printed as lines");
    }
    Dashboard::prepare()
}

/// The dashboard of a program that was built without one: it has no values.
#[cfg(not(feature = "tui"))]
pub enum Dashboard {}

#[cfg(not(feature = "tui"))]
impl Dashboard {
    fn prepare() -> Result<Self, &'static str> {
        Err("--tui: this program was built without the feature `tui`; the progress is printed as lines")
    }

    /// Shows an event.
    pub fn on_event(&mut self, _event: &kiln_train::run::ProgressEvent) {
        match *self {}
    }

    /// Ends the dashboard.
    pub fn close(&mut self) {
        match *self {}
    }
}

/// Gives the terminal back before the process ends; there is nothing to do.
#[cfg(not(feature = "tui"))]
pub fn restore_terminal() {}
