//! Corpus: all documents of a source as token ids, split into training and validation documents.
//!
//! [`Corpus::build`] streams the source once: each document goes through [`ValidationSplit`], the tokenizer, and a
//! [`TokenizedDocuments`] writer. Memory does not grow with the source: beyond the budget of [`DiskSpace`], tokens are
//! written to a scratch file. Tokens take 2 bytes each for vocabularies of up to 65 536 tokens, otherwise 4.
//!
//! Every document is stored as `<bos>`, its tokens, `<eos>`. [`crate::Packer`] reads documents by index.

mod documents;
#[cfg(feature = "files")]
mod scratch_file;
mod split;
mod storage;
#[cfg(test)]
mod tests;

use crate::{DataError, Source, Tokenizer, Vocabulary, tokenizer::CachingEncoder};
use documents::DocumentWriter;
pub use documents::TokenizedDocuments;
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
        let mut training = DocumentWriter::new(disk_space, tokenizer)?;
        let mut validation = DocumentWriter::new(disk_space, tokenizer)?;
        let mut encoder = CachingEncoder::new(tokenizer);
        let mut done_bytes = 0;
        let mut reported_bytes = 0;
        for assigned in split.assigned_documents(source)? {
            let assigned = assigned?;
            let text = &assigned.document.text;
            let (writer, hash) = match assigned.subset {
                Subset::Training => (&mut training, None),
                Subset::Validation => (&mut validation, Some(assigned.hash)),
            };
            let ids = encoder.encode(text);
            tokenizer.check_rows(&ids, tokenizer.vocabulary().model_rows())?;
            writer.push(&ids, text.len(), assigned.document.is_continuation, hash)?;
            done_bytes += text.len() as u64;
            if done_bytes - reported_bytes >= PROGRESS_BYTES {
                reported_bytes = done_bytes;
                progress(done_bytes, source.size_bytes());
            }
        }
        if done_bytes == 0 {
            return Err(DataError::NoText { origin: source.describe() });
        }
        progress(done_bytes, source.size_bytes());
        let vocabulary = tokenizer.vocabulary().clone();
        Ok(Self { training: training.finish()?, validation: validation.finish()?, vocabulary })
    }

    /// Returns the documents of one subset.
    pub fn subset(&self, subset: Subset) -> &TokenizedDocuments {
        match subset {
            Subset::Training => &self.training,
            Subset::Validation => &self.validation,
        }
    }
}

/// Bytes of text between two calls of the progress function.
const PROGRESS_BYTES: u64 = 1 << 20;
