//! Source that can be interrupted.

use super::{Documents, Source, report::ReadReport};
use crate::DataError;

/// Function that returns whether to stop. It is called once for each document part, from any thread.
pub type StopSignal<'a> = &'a (dyn Fn() -> bool + Send + Sync);

/// Source whose documents end with [`DataError::Stopped`] as soon as the stop signal returns true.
///
/// Splitting, tokenizer training and [`crate::Corpus::build`] then return that error, without partial results. `kiln
/// train` uses it to react to Ctrl-C during data preparation.
pub struct StoppableSource<'a> {
    source: Box<dyn Source>,
    stop_signal: StopSignal<'a>,
}

impl<'a> StoppableSource<'a> {
    /// Wraps `source`.
    pub fn new(source: Box<dyn Source>, stop_signal: StopSignal<'a>) -> Self {
        Self { source, stop_signal }
    }
}

impl Source for StoppableSource<'_> {
    fn documents(&self) -> Result<Documents<'_>, DataError> {
        let mut stopped = false;
        Ok(Box::new(self.source.documents()?.map_while(move |document| {
            if stopped {
                return None;
            }
            stopped = (self.stop_signal)();
            Some(if stopped { Err(DataError::Stopped { origin: self.describe() }) } else { document })
        })))
    }

    fn describe(&self) -> String {
        self.source.describe()
    }

    fn size_bytes(&self) -> Option<u64> {
        self.source.size_bytes()
    }

    fn check(&self, stop: StopSignal) -> Result<(), DataError> {
        self.source.check(&|| stop() || (self.stop_signal)())
    }

    fn report(&self) -> ReadReport {
        self.source.report()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Corpus, DiskSpace, Subset, Tokenizer, TokenizerConfig, ValidationSplit};
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn texts() -> Box<dyn Source> {
        Box::new((0..40).map(|number| format!("text number {number}")).collect::<Vec<String>>())
    }

    #[test]
    fn documents_end_with_one_error_after_the_signal() {
        let calls = AtomicUsize::new(0);
        let stop = || calls.fetch_add(1, Ordering::Relaxed) >= 3;
        let source = StoppableSource::new(texts(), &stop);
        let documents: Vec<_> = source.documents().unwrap().collect();
        assert_eq!((documents.len(), documents.iter().filter(|document| document.is_ok()).count()), (4, 3));
        assert_eq!(documents[3].as_ref().unwrap_err().kind(), "stopped");
    }

    #[test]
    fn splitting_training_and_building_return_the_error() {
        let tokenizer = Tokenizer::train(&TokenizerConfig::Byte(Default::default()), [Ok("a")]).unwrap();
        let running = StoppableSource::new(texts(), &|| false);
        let stopped = StoppableSource::new(texts(), &|| true);
        let split = ValidationSplit::new(&running, 0.2).unwrap();
        assert!(Corpus::build(&running, &split, &tokenizer, &DiskSpace::in_memory(), |_, _| ()).is_ok());
        let kinds = [
            ValidationSplit::new(&stopped, 0.2).err(),
            Corpus::build(&stopped, &split, &tokenizer, &DiskSpace::in_memory(), |_, _| ()).err(),
            Tokenizer::train(&TokenizerConfig::default(), split.texts(&stopped, Subset::Training).unwrap()).err(),
        ];
        assert_eq!(kinds.map(|error| error.map(|error| error.kind())), [Some("stopped"); 3]);
    }
}
