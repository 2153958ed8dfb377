//! The record of how a run was started: the command line and the version of Kiln, as an event in `metrics.jsonl`.

use kiln_train::{
    TrainError,
    metrics::{EventKind, MetricsRow, RunEvent},
    run_folder::{MetricsLog, RunPaths},
};
use std::path::Path;

/// The command line of this process and the version of Kiln: `kiln train --steps 40  # kiln 0.1.0`.
pub fn command_line() -> String {
    let arguments = std::env::args().skip(1).map(|argument| quote(&argument)).collect::<Vec<_>>().join(" ");
    format!("kiln {arguments}  # kiln {}", env!("CARGO_PKG_VERSION"))
}

/// An argument as a POSIX shell reads it: in single quotes if it has characters with a meaning there.
fn quote(argument: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "-_./=:,@%+".contains(c);
    if !argument.is_empty() && argument.chars().all(is_plain) {
        return argument.into();
    }
    format!("'{}'", argument.replace('\'', r"'\''"))
}

/// Writes the start event of the run in `folder`, whose training has not begun.
///
/// # Errors
/// If the metrics cannot be written.
pub fn record_start(folder: &Path, command: &str) -> Result<(), TrainError> {
    let metrics = RunPaths::open(folder)?.metrics();
    let event = RunEvent { step: 0, kind: EventKind::Started, detail: command.into(), seconds: 0.0 };
    Ok(MetricsLog::truncate_to_events(&metrics)?.append(&MetricsRow::Event(event))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_quoted_for_a_shell() {
        assert_eq!(quote("--set=seed=1"), "--set=seed=1");
        assert_eq!(quote("it's {a}"), r"'it'\''s {a}'");
        assert_eq!(quote(""), "''");
    }
}
