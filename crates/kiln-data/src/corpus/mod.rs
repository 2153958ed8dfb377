//! Text as tokens, split into training and validation.

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

/// All documents of a source as tokens.
#[derive(Debug)]
pub struct Corpus {
    /// Documents to learn from.
    pub training: TokenizedDocuments,
    /// Documents that are held out.
    pub validation: TokenizedDocuments,
    /// What their tokens are.
    pub vocabulary: Arc<Vocabulary>,
}

impl Corpus {
    /// Reads all of `source` and encodes it, document by document, however large it is.
    ///
    /// `progress` is called now and then with the bytes of text done and, if the source knows, how many there are.
    pub fn build(
        source: &dyn Source,
        split: &ValidationSplit,
        tokenizer: &Tokenizer,
        room: &DiskSpace,
        mut progress: impl FnMut(u64, Option<u64>),
    ) -> Result<Self, DataError> {
        let (mut training, mut validation) =
            (DocumentWriter::new(room, tokenizer)?, DocumentWriter::new(room, tokenizer)?);
        let (mut encoder, mut done, mut told) = (CachingEncoder::new(tokenizer), 0, 0);
        for unit in split.assigned_documents(source)? {
            let unit = unit?;
            let (text, continues) = (&unit.document.text, unit.document.is_continuation);
            let (writer, hash) = match unit.subset {
                Subset::Training => (&mut training, None),
                Subset::Validation => (&mut validation, Some(unit.hash)),
            };
            writer.push(&encoder.encode(text), text.len(), continues, hash)?;
            done += text.len() as u64;
            if done - told >= PROGRESS_BYTES {
                told = done;
                progress(done, source.size_bytes());
            }
        }
        if done == 0 {
            return Err(DataError::NoText { origin: source.describe() });
        }
        progress(done, source.size_bytes());
        let vocabulary = tokenizer.vocabulary().clone();
        Ok(Self { training: training.finish()?, validation: validation.finish()?, vocabulary })
    }

    /// The documents of one side.
    pub fn subset(&self, side: Subset) -> &TokenizedDocuments {
        match side {
            Subset::Training => &self.training,
            Subset::Validation => &self.validation,
        }
    }
}

/// Progress is told after this many bytes of text.
const PROGRESS_BYTES: u64 = 1 << 20;
