//! Where text comes from: a stream of documents that can be read again and again in the same order.

#[cfg(feature = "files")]
pub mod files;
pub(crate) mod split_text;
mod stoppable;
pub mod stories;

use crate::DataError;
pub use split_text::MAX_PART_BYTES;
pub use stoppable::{StopSignal, StoppableSource};

/// A piece of text that belongs together, or the next part of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// The text, at most [`PART`] bytes of it.
    pub text: String,
    /// Where it was found: a file, with its line where there are several documents in one.
    pub origin: String,
    /// Whether this goes on where the document before it stopped.
    pub is_continuation: bool,
}

/// Documents in the source's order.
pub type Documents<'a> = Box<dyn Iterator<Item = Result<Document, DataError>> + Send + 'a>;

/// A stream of documents.
pub trait Source: Send + Sync {
    /// All documents from the start, always the same ones in the same order. None is empty.
    fn documents(&self) -> Result<Documents<'_>, DataError>;

    /// What it is, in a few words for people.
    fn describe(&self) -> String;

    /// About how many bytes of text there are, where that is known without reading them.
    fn size_bytes(&self) -> Option<u64> {
        None
    }

    /// How many files the last reading left out because they hold no text (those of folders only).
    fn num_skipped_files(&self) -> usize {
        0
    }
}

/// Documents that are in memory already: what tests and examples read.
impl Source for Vec<String> {
    fn documents(&self) -> Result<Documents<'_>, DataError> {
        let whole = self.iter().enumerate();
        Ok(Box::new(whole.flat_map(|(i, text)| document_parts(text, format!("text {i}")).map(Ok))))
    }

    fn describe(&self) -> String {
        format!("{} texts", self.len())
    }

    fn size_bytes(&self) -> Option<u64> {
        Some(self.iter().map(|text| text.len() as u64).sum())
    }
}

/// A text as one document, in parts if it is long.
pub(crate) fn document_parts(text: &str, origin: String) -> impl Iterator<Item = Document> {
    let parts = split_text::split_text(text, MAX_PART_BYTES).enumerate();
    parts.map(move |(i, part)| Document { text: part.into(), origin: origin.clone(), is_continuation: i > 0 })
}
