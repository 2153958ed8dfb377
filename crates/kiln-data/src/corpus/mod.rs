//! Corpus: all documents of a source as token ids, split into training and validation documents.
//!
//! [`Corpus::build`] streams the source once: each document goes through [`ValidationSplit`], the tokenizer, and a
//! [`TokenizedDocuments`] writer. Memory does not grow with the source: beyond the budget of [`DiskSpace`], tokens are
//! written to a scratch file. Tokens take 2 bytes each for vocabularies of up to 65 536 tokens, otherwise 4.
//!
//! Every document of text is stored as `<bos>`, its tokens, `<eos>`. An example is stored as one or several documents, with
//! its groups and the ranges of its trained tokens. [`crate::Packer`] reads documents by index.
//!
//! A corpus may have several sources ([`CorpusBuilder`]): their documents follow each other, each source a [`DocumentPart`].

mod builder;
mod documents;
mod part;
#[cfg(feature = "files")]
mod scratch_file;
mod split;
mod storage;
#[cfg(test)]
mod tests;

use crate::{DataError, ExampleKind, Source, Tokenizer, Vocabulary, source::report::Omissions};
pub use builder::CorpusBuilder;
pub use documents::TokenizedDocuments;
pub use part::DocumentPart;
pub(crate) use split::text_hash;
pub use split::{Subset, ValidationSplit};
use std::sync::Arc;
pub use storage::DiskSpace;

/// Tokenized documents of a source, split into training and validation.
#[derive(Debug)]
pub struct Corpus {
    /// Training documents.
    pub training: TokenizedDocuments,
    /// Validation documents.
    pub validation: TokenizedDocuments,
    /// Vocabulary of the tokenizer that encoded the documents.
    pub vocabulary: Arc<Vocabulary>,
    /// Kind of the examples: of the first source, if there are several.
    pub kind: ExampleKind,
    /// Examples without anything to train on, which were left out.
    pub without_answer: Omissions,
}

impl Corpus {
    /// Reads all of `source` and tokenizes it, document by document.
    ///
    /// `progress(done, total)` is called about once per MiB and at the end: bytes of text so far, and the size of the
    /// source if it is known. The result depends on the text and the tokenizer only, not on `disk_space`.
    ///
    /// # Errors
    /// [`DataError::TokenWithoutRow`] for a token that the model lacks ([`Tokenizer::with_model_rows`]),
    /// [`DataError::NoText`] for a source without text, [`DataError::MissingSpecialTokens`] for a tokenizer without
    /// `<bos>` or `<eos>`, and errors of the source and of the scratch file.
    pub fn build(
        source: &dyn Source,
        split: &ValidationSplit,
        tokenizer: &Tokenizer,
        disk_space: &DiskSpace,
        mut progress: impl FnMut(u64, Option<u64>),
    ) -> Result<Self, DataError> {
        let mut builder = CorpusBuilder::new(tokenizer, disk_space);
        let num_bytes = builder.add_text(source, split, 1.0, &mut progress)?;
        if num_bytes == 0 {
            return Err(DataError::NoText { origin: source.describe() });
        }
        builder.finish()
    }

    /// Returns the documents of one subset.
    pub fn subset(&self, subset: Subset) -> &TokenizedDocuments {
        match subset {
            Subset::Training => &self.training,
            Subset::Validation => &self.validation,
        }
    }
}
