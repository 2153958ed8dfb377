//! Check of the files of a source before any long work: the format, the field and the first rows of each file.

use super::{
    FileSource,
    entry::FileEntry,
    open::{OpenFile, open_file},
};
use crate::{
    DataError, StopSignal,
    source::{
        Documents,
        report::{FileFormat, Omissions, ReadReport},
    },
};

/// Number of rows that are checked in each file.
const CHECKED_ROWS: usize = 1000;

/// Findings of a check.
#[derive(Default)]
struct Findings {
    report: ReadReport,
    /// Whether a file has a row with text.
    has_text: bool,
    /// Error of the first bad row.
    first_bad: Option<DataError>,
}

/// Checks all files of `source`. Ends with [`DataError::Stopped`] as soon as `stop` returns true.
///
/// # Errors
/// Errors of a file; its field error, if none of its first rows has the field; the bad rows, unless they are to be left out;
/// [`DataError::NoReadableFile`] if no file has text.
pub(super) fn check_files(source: &FileSource, stop: StopSignal) -> Result<(), DataError> {
    let mut findings = Findings::default();
    source.files.dangling.iter().for_each(|error| findings.report.skipped_files.add(error));
    for entry in &source.files.entries {
        check_file(source, entry, &mut findings, stop)?;
    }
    let Findings { report: ReadReport { bad_rows, skipped_files, .. }, has_text, first_bad } = findings;
    match first_bad {
        Some(error) if !source.config.skip_bad_rows => Err(match bad_rows.count {
            1 => error,
            _ => DataError::BadRows { origin: source.describe_paths(), checked: CHECKED_ROWS as u64, rows: bad_rows },
        }),
        _ if !has_text => Err(no_text_error(source, skipped_files, bad_rows)),
        _ => Ok(()),
    }
}

/// Checks the first rows of a file. A text file is one row, of which the first part is checked.
fn check_file(
    source: &FileSource,
    entry: &FileEntry,
    findings: &mut Findings,
    stop: StopSignal,
) -> Result<(), DataError> {
    let (documents, num_checked) = match open_file(entry, &source.config.field) {
        Ok(OpenFile::Documents { documents, format: FileFormat::Text, .. }) => (documents, 1),
        Ok(OpenFile::Documents { documents, .. }) => (documents, CHECKED_ROWS),
        Ok(OpenFile::Skipped(error)) => {
            findings.report.skipped_files.add(&error);
            return Ok(());
        }
        Err(error) if error.is_bad_row() => (Box::new(std::iter::once(Err(error))) as Documents, 1),
        Err(error) => return Err(error),
    };
    let mut field_error = None;
    let mut has_field = false;
    for document in documents.take(num_checked) {
        if stop() {
            return Err(DataError::Stopped { origin: source.describe_paths() });
        }
        match document {
            Ok(_) => has_field = true,
            Err(error) if error.is_bad_row() => {
                findings.report.bad_rows.add(&error);
                findings.first_bad.get_or_insert_with(|| error.clone());
                if error.is_field_error() {
                    field_error.get_or_insert(error);
                } else {
                    has_field = true;
                }
            }
            Err(error) => return Err(error),
        }
    }
    findings.has_text |= has_field;
    match field_error {
        // The field is the wrong one for this file: leaving out its rows would leave out all of it.
        Some(error) if !has_field => Err(error),
        _ => Ok(()),
    }
}

/// Error for a source of which no file has text.
fn no_text_error(source: &FileSource, skipped: Omissions, bad_rows: Omissions) -> DataError {
    let origin = source.describe_paths();
    match (skipped.count, bad_rows.count) {
        (0, 0) => DataError::NoText { origin },
        (0, _) => DataError::NoReadableFile { origin, skipped: bad_rows },
        _ => DataError::NoReadableFile { origin, skipped },
    }
}
