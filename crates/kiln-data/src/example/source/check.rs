//! Check of the first rows of each file of examples before any long work.

use super::{LocatedExample, files::ExampleFiles};
use crate::{DataError, StopSignal, example::ExampleSource, source::report::Omissions};

/// Number of rows that are checked in each file.
const CHECKED_ROWS: usize = 1000;

/// Checks the first rows of all files.
///
/// # Errors
/// Errors of a file; the bad rows, unless they are to be left out; [`DataError::NoExamples`] if all of these rows are bad.
pub(super) fn check_files(
    source: &ExampleFiles,
    stop: StopSignal,
    check_example: &dyn Fn(&LocatedExample) -> Result<(), DataError>,
) -> Result<(), DataError> {
    let mut bad_rows = Omissions::default();
    let mut first_bad = None;
    let mut num_good = 0_u64;
    for entry in &source.files.entries {
        let Some((rows, _)) = source.open_file(entry)? else { continue };
        let path = entry.path.display().to_string();
        for row in rows.take(CHECKED_ROWS) {
            if stop() {
                return Err(DataError::Stopped { origin: source.describe() });
            }
            let example = row.and_then(|row| source.convert(&path, row.number, &row.value));
            match example.and_then(|example| check_example(&example)) {
                Ok(()) => num_good += 1,
                Err(error) if error.is_bad_row() => {
                    bad_rows.add(&error);
                    first_bad.get_or_insert(error);
                }
                Err(error) => return Err(error),
            }
        }
    }
    let origin = source.describe();
    match first_bad {
        Some(error) if !source.config.skip_bad_rows => Err(match bad_rows.count {
            1 => error,
            _ => DataError::BadRows { origin, checked: CHECKED_ROWS as u64, rows: bad_rows },
        }),
        _ if num_good == 0 => Err(DataError::NoExamples { origin, left_out: bad_rows }),
        _ => Ok(()),
    }
}
