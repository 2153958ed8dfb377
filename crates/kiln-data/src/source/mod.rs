//! Text sources: repeatable streams of documents.
//!
//! [`Source`] is implemented by the built-in stories ([`stories::StoriesConfig`]), by files and folders
//! ([`files::FileSource`]), and by `Vec<String>`. A source is read several times: to find the
//! validation split, to train the tokenizer, and to build the corpus. Every pass yields the same documents in the same
//! order.
//!
//! Long documents arrive in parts of up to 1 MiB, so that no file has to fit into memory.

pub mod files;
pub mod report;
pub(crate) mod split_text;
mod stoppable;
pub mod stories;

use crate::DataError;
pub use files::ReadFile;
use report::ReadReport;
pub use split_text::MAX_PART_BYTES;
pub use stoppable::{StopSignal, StoppableSource};

/// Document, or the next part of a long document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// Text of at most [`MAX_PART_BYTES`] bytes; never empty.
    pub text: String,
    /// File that the text comes from, with the line (`texts.jsonl:3`) if the file holds several documents.
    pub origin: String,
    /// Whether this is a further part of the document before it.
    pub is_continuation: bool,
}

/// Iterator over the documents of a source. It ends after the first error.
pub type Documents<'a> = Box<dyn Iterator<Item = Result<Document, DataError>> + Send + 'a>;

/// Repeatable stream of documents.
pub trait Source: Send + Sync {
    /// Starts a pass over all documents: always the same documents in the same order, none of them empty.
    ///
    /// # Errors
    /// An error if the pass cannot start. Later errors are items of the iterator.
    fn documents(&self) -> Result<Documents<'_>, DataError>;

    /// Short description for progress lines and error messages, such as the paths.
    fn describe(&self) -> String;

    /// Approximate size of the text in bytes; `None` if only reading it would tell, as for compressed files.
    fn size_bytes(&self) -> Option<u64> {
        None
    }

    /// Checks format and field of each file and its first rows, so that errors are found before any long work. Ends with
    /// [`DataError::Stopped`] if `stop` returns true.
    ///
    /// # Errors
    /// Errors that a pass over these rows would give, the bad rows all in one.
    fn check(&self, _stop: StopSignal) -> Result<(), DataError> {
        Ok(())
    }

    /// What the last pass has read and left out. Complete when the pass has ended; empty for sources without files.
    fn report(&self) -> ReadReport {
        ReadReport::default()
    }
}

/// Source in memory: each string is a document. For tests and examples.
impl Source for Vec<String> {
    fn documents(&self) -> Result<Documents<'_>, DataError> {
        let texts = self.iter().enumerate();
        Ok(Box::new(texts.flat_map(|(i, text)| document_parts(text, format!("text {i}")).map(Ok))))
    }

    fn describe(&self) -> String {
        format!("{} texts", self.len())
    }

    fn size_bytes(&self) -> Option<u64> {
        Some(self.iter().map(|text| text.len() as u64).sum())
    }
}

/// Splits a text into parts of at most [`MAX_PART_BYTES`] bytes that form one document.
pub(crate) fn document_parts(text: &str, origin: String) -> impl Iterator<Item = Document> {
    let parts = split_text::split_text(text, MAX_PART_BYTES).enumerate();
    parts.map(move |(i, part)| Document { text: part.into(), origin: origin.clone(), is_continuation: i > 0 })
}
