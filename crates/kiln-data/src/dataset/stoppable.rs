//! Source of examples that can be interrupted.

use crate::{
    DataError, StopSignal,
    example::{ExampleSource, Examples, LocatedExample},
    source::report::ReadReport,
};

/// Source whose examples end with [`DataError::Stopped`] as soon as the stop signal returns true.
pub(super) struct StoppableExamples<'a> {
    source: Box<dyn ExampleSource>,
    stop_signal: StopSignal<'a>,
}

impl<'a> StoppableExamples<'a> {
    /// Wraps `source`.
    pub fn new(source: Box<dyn ExampleSource>, stop_signal: StopSignal<'a>) -> Self {
        Self { source, stop_signal }
    }
}

impl ExampleSource for StoppableExamples<'_> {
    fn examples(&self) -> Result<Examples<'_>, DataError> {
        let mut stopped = false;
        Ok(Box::new(self.source.examples()?.map_while(move |example| {
            if stopped {
                return None;
            }
            stopped = (self.stop_signal)();
            Some(if stopped { Err(DataError::Stopped { origin: self.describe() }) } else { example })
        })))
    }

    fn describe(&self) -> String {
        self.source.describe()
    }

    fn check(
        &self,
        stop: StopSignal,
        check_example: &dyn Fn(&LocatedExample) -> Result<(), DataError>,
    ) -> Result<(), DataError> {
        self.source.check(&|| stop() || (self.stop_signal)(), check_example)
    }

    fn skip_or_return(&self, error: DataError) -> Result<(), DataError> {
        self.source.skip_or_return(error)
    }

    fn report(&self) -> ReadReport {
        self.source.report()
    }
}
