//! A source that ends when it is asked to.

use super::{Documents, Source};
use crate::DataError;

/// Answers whether to stop; asked once a document (or part of one), from any thread.
pub type StopSignal<'a> = &'a (dyn Fn() -> bool + Send + Sync);

/// A source whose documents end with [`DataError::Stopped`] once `stop` says so: whoever reads it ends soon and cleanly.
pub struct StoppableSource<'a> {
    source: Box<dyn Source>,
    stop_signal: StopSignal<'a>,
}

impl<'a> StoppableSource<'a> {
    /// Watches over the reading of `source`.
    pub fn new(source: Box<dyn Source>, stop: StopSignal<'a>) -> Self {
        Self { source, stop_signal: stop }
    }
}

impl Source for StoppableSource<'_> {
    fn documents(&self) -> Result<Documents<'_>, DataError> {
        let mut over = false;
        let unless = move |document| {
            if over {
                return None;
            }
            over = (self.stop_signal)();
            Some(if over { Err(DataError::Stopped { origin: self.describe() }) } else { document })
        };
        Ok(Box::new(self.source.documents()?.map_while(unless)))
    }

    fn describe(&self) -> String {
        self.source.describe()
    }

    fn size_bytes(&self) -> Option<u64> {
        self.source.size_bytes()
    }

    fn num_skipped_files(&self) -> usize {
        self.source.num_skipped_files()
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
    fn documents_end_with_one_error_when_asked_to() {
        let asked = AtomicUsize::new(0);
        let stop = || asked.fetch_add(1, Ordering::Relaxed) >= 3;
        let source = StoppableSource::new(texts(), &stop);
        let found: Vec<_> = source.documents().unwrap().collect();
        assert_eq!((found.len(), found.iter().filter(|document| document.is_ok()).count()), (4, 3));
        assert_eq!(found[3].as_ref().unwrap_err().kind(), "stopped");
    }

    #[test]
    fn whatever_reads_is_stopped() {
        let tokenizer = Tokenizer::train(&TokenizerConfig::Byte(Default::default()), [Ok("a")]).unwrap();
        let (whole, stopped) = (StoppableSource::new(texts(), &|| false), StoppableSource::new(texts(), &|| true));
        let split = ValidationSplit::new(&whole, 0.2).unwrap();
        assert!(Corpus::build(&whole, &split, &tokenizer, &DiskSpace::in_memory(), |_, _| ()).is_ok());
        let kinds = [
            ValidationSplit::new(&stopped, 0.2).err(),
            Corpus::build(&stopped, &split, &tokenizer, &DiskSpace::in_memory(), |_, _| ()).err(),
            Tokenizer::train(&TokenizerConfig::default(), split.texts(&stopped, Subset::Training).unwrap()).err(),
        ];
        assert_eq!(kinds.map(|error| error.map(|error| error.kind())), [Some("stopped"); 3]);
    }
}
