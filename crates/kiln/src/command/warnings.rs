//! Warnings of all crates on standard error, one line each, every text once.
//!
//! A library crate reports what it cannot honor with `log::warn!`: it does not print itself. Warnings of other packages are
//! left out.

use super::output::print_message;
use log::{LevelFilter, Log, Metadata, Record};
use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
};

/// The program's logger.
#[derive(Debug, Default)]
struct WarningPrinter {
    /// The warnings printed so far.
    printed: Mutex<BTreeSet<String>>,
}

static PRINTER: WarningPrinter = WarningPrinter { printed: Mutex::new(BTreeSet::new()) };

/// Prints the warnings of Kiln's crates to standard error from now on. A second call has no effect.
pub fn install() {
    if log::set_logger(&PRINTER).is_ok() {
        log::set_max_level(LevelFilter::Warn);
    }
}

impl WarningPrinter {
    /// Whether a warning with this text is printed for the first time.
    fn is_new(&self, text: &str) -> bool {
        self.printed.lock().unwrap_or_else(PoisonError::into_inner).insert(text.to_owned())
    }
}

impl Log for WarningPrinter {
    fn enabled(&self, metadata: &Metadata) -> bool {
        metadata.level() <= LevelFilter::Warn && metadata.target().starts_with("kiln")
    }

    fn log(&self, record: &Record) {
        let text = record.args().to_string();
        if self.enabled(record.metadata()) && self.is_new(&text) {
            print_message(&format!("warning: {text}"));
        }
    }

    fn flush(&self) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use log::Level;

    #[test]
    fn warnings_of_kiln_are_printed_once() {
        let printer = WarningPrinter::default();
        assert!(printer.is_new("a") && !printer.is_new("a") && printer.is_new("b"));
        let enabled = |target: &str, level| printer.enabled(&Metadata::builder().target(target).level(level).build());
        assert!(enabled("kiln_pretrained::peft_format", Level::Warn) && enabled("kiln", Level::Error));
        assert!(!enabled("burn", Level::Warn) && !enabled("kiln", Level::Info));
    }
}
