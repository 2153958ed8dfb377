//! Sources of examples: files with rows, and lists in memory.

mod check;
mod detect;
mod files;

use super::Example;
use crate::{DataError, StopSignal, source::report::ReadReport};
pub use detect::DetectedFormat;
pub use files::ExampleFiles;

/// An example and its place.
#[derive(Clone, Debug, PartialEq)]
pub struct LocatedExample {
    /// The example.
    pub example: Example,
    /// File that it comes from, or a description of the source.
    pub path: String,
    /// Line or row, from 1.
    pub line: u64,
}

/// Iterator over the examples of a source. It ends after the first error.
pub type Examples<'a> = Box<dyn Iterator<Item = Result<LocatedExample, DataError>> + Send + 'a>;

/// Repeatable stream of examples: each pass yields the same ones in the same order.
pub trait ExampleSource: Send + Sync {
    /// Starts a pass over all examples.
    ///
    /// # Errors
    /// An error if the pass cannot start. Later errors are items of the iterator.
    fn examples(&self) -> Result<Examples<'_>, DataError>;

    /// Short description for progress lines and error messages, such as the paths.
    fn describe(&self) -> String;

    /// Checks the first rows of each file, so that errors are found before any long work. `check_example` checks what needs more
    /// than the row, such as the chat template.
    ///
    /// # Errors
    /// The bad row, or all of several; [`DataError::Stopped`] if `stop` returns true.
    fn check(
        &self,
        stop: StopSignal,
        check_example: &dyn Fn(&LocatedExample) -> Result<(), DataError>,
    ) -> Result<(), DataError> {
        self.examples()?.try_for_each(|example| match stop() {
            true => Err(DataError::Stopped { origin: self.describe() }),
            false => check_example(&example?),
        })
    }

    /// Counts a bad row that is to be left out; returns any other error. A source without this choice returns each error.
    ///
    /// # Errors
    /// `error`, unless it is counted.
    fn skip_or_return(&self, error: DataError) -> Result<(), DataError> {
        Err(error)
    }

    /// What the last pass has read and left out.
    fn report(&self) -> ReadReport {
        ReadReport::default()
    }
}

/// Source in memory. For tests and examples.
impl ExampleSource for Vec<Example> {
    fn examples(&self) -> Result<Examples<'_>, DataError> {
        let origin = self.describe();
        let examples = self.iter().cloned().zip(1..);
        Ok(Box::new(examples.map(move |(example, line)| Ok(LocatedExample { example, path: origin.clone(), line }))))
    }

    fn describe(&self) -> String {
        format!("{} examples", self.len())
    }
}
