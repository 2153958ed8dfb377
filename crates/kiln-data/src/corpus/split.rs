//! Validation split by content hash: adding documents never moves a document between training and validation.
//!
//! A document belongs to the validation subset if the first 64 bits of the SHA-256 of its text, as an unsigned integer,
//! are below a bound: the validation fraction times 2⁶⁴. Duplicates therefore always fall on the same side.

use crate::{
    DataError,
    example::ExampleSource,
    source::{Document, Documents, Source, split_text},
};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;

/// Subset of a corpus.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Subset {
    /// Documents for training.
    Training,
    /// Documents for validation.
    Validation,
}

/// Minimum number of different documents for a split by document; below it, passages are split.
const MIN_DOCUMENTS: usize = 20;
/// Maximum length of a passage in bytes.
const MAX_PASSAGE_BYTES: usize = 2048;

/// Assignment of text to training and validation.
///
/// Sources with at least 20 different documents are split by document. The hash of a long document is that of its first
/// part (up to 1 MiB). Sources with fewer documents are split by passages of up to 2 KiB, which end at line ends or
/// white space where possible; consecutive passages of the same subset stay one document.
///
/// Texts whose hash is below fraction · 2^64 are validation text. If that leaves a subset empty, the text with the nearest
/// hash is moved into it. The split is a function of the texts and the fraction only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ValidationSplit {
    unit: SplitUnit,
    /// Hashes below this bound are validation.
    hash_bound: u64,
}

/// What is hashed and assigned as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SplitUnit {
    Document,
    Passage,
}

/// Document or passage with its subset and hash.
#[derive(Clone, Debug)]
pub(crate) struct AssignedDocument {
    pub subset: Subset,
    pub document: Document,
    pub hash: u64,
}

impl ValidationSplit {
    /// Creates a split that uses about `fraction` of the documents of `source` for validation.
    ///
    /// Reads only as much of the source as is needed to know that neither subset is empty.
    ///
    /// # Errors
    /// [`DataError::Config`] unless 0 < `fraction` < 1, [`DataError::NoText`] for a source without text,
    /// [`DataError::TooShort`] for one with fewer than two different passages, and errors of the source.
    pub fn new(source: &dyn Source, fraction: f64) -> Result<Self, DataError> {
        let hash_bound = hash_bound(fraction)?;
        if let Some(split) = Self::with_adjusted_bound(source, SplitUnit::Document, hash_bound)? {
            return Ok(split);
        }
        Self::with_adjusted_bound(source, SplitUnit::Passage, hash_bound)?.ok_or_else(|| too_short_error(source))
    }

    /// Creates a split that uses about `fraction` of the examples of `source` for validation, by the hash of each
    /// ([`crate::example::Example::hash`]).
    ///
    /// # Errors
    /// [`DataError::Config`] unless 0 < `fraction` < 1, [`DataError::TooFewExamples`] for a source with fewer than two different
    /// examples, and errors of the source.
    pub fn of_examples(source: &dyn ExampleSource, fraction: f64) -> Result<Self, DataError> {
        let hash_bound = hash_bound(fraction)?;
        let (mut min_hash, mut max_hash) = (u64::MAX, 0);
        for example in source.examples()? {
            let hash = example?.example.hash();
            (min_hash, max_hash) = (min_hash.min(hash), max_hash.max(hash));
            if min_hash < hash_bound && hash_bound <= max_hash {
                return Ok(Self { unit: SplitUnit::Document, hash_bound });
            }
        }
        if min_hash >= max_hash {
            return Err(DataError::TooFewExamples { origin: source.describe() });
        }
        let adjusted = if min_hash >= hash_bound { min_hash.saturating_add(1) } else { max_hash };
        Ok(Self { unit: SplitUnit::Document, hash_bound: adjusted })
    }

    /// Creates a split that assigns all documents to `subset`.
    pub fn unsplit(subset: Subset) -> Self {
        Self { unit: SplitUnit::Document, hash_bound: if subset == Subset::Validation { u64::MAX } else { 0 } }
    }

    /// Returns the texts of one subset in the source's order. A long document arrives in several parts.
    ///
    /// # Errors
    /// Errors of the source: here if it cannot be opened, as items if reading fails later.
    pub fn texts<'a>(
        &self,
        source: &'a dyn Source,
        subset: Subset,
    ) -> Result<impl Iterator<Item = Result<String, DataError>> + 'a, DataError> {
        let documents = self.assigned_documents(source)?;
        Ok(documents.filter_map(move |assigned| match assigned {
            Ok(assigned) => (assigned.subset == subset).then_some(Ok(assigned.document.text)),
            Err(error) => Some(Err(error)),
        }))
    }

    /// Returns about `bytes` bytes of training text, spread over the whole source: a sample for tokenizer training.
    ///
    /// Documents are chosen by the low 32 bits of their hash. If the source does not know its size, all training text
    /// is returned.
    ///
    /// # Errors
    /// As [`texts`](Self::texts).
    pub fn training_sample<'a>(
        &self,
        source: &'a dyn Source,
        bytes: u64,
    ) -> Result<impl Iterator<Item = Result<String, DataError>> + 'a, DataError> {
        let fraction = source.size_bytes().map_or(1.0, |total| bytes as f64 / total.max(1) as f64);
        // The high bits decide the subset; the low bits are independent of them.
        let low_bits_bound = fraction * 2f64.powi(32);
        let documents = self.assigned_documents(source)?;
        Ok(documents.filter_map(move |assigned| match assigned {
            Ok(assigned) => {
                let is_chosen = assigned.subset == Subset::Training && f64::from(assigned.hash as u32) < low_bits_bound;
                is_chosen.then_some(Ok(assigned.document.text))
            }
            Err(error) => Some(Err(error)),
        }))
    }

    /// Split with a bound that leaves neither subset empty; `None` if there are too few different units of this kind.
    ///
    /// If all hashes are on one side of `hash_bound`, the smallest (or largest) one is moved to the other side.
    fn with_adjusted_bound(source: &dyn Source, unit: SplitUnit, hash_bound: u64) -> Result<Option<Self>, DataError> {
        let min_units = if unit == SplitUnit::Document { MIN_DOCUMENTS } else { 2 };
        let mut different_hashes = BTreeSet::new();
        let mut min_hash = u64::MAX;
        let mut max_hash = 0;
        for assigned in (Self { unit, hash_bound }).assigned_documents(source)? {
            let hash = assigned?.hash;
            min_hash = min_hash.min(hash);
            max_hash = max_hash.max(hash);
            if different_hashes.len() < min_units {
                different_hashes.insert(hash);
            }
            if different_hashes.len() >= min_units && (min_hash < hash_bound && hash_bound <= max_hash) {
                return Ok(Some(Self { unit, hash_bound }));
            }
        }
        let adjusted = if min_hash >= hash_bound { min_hash.saturating_add(1) } else { max_hash };
        Ok((different_hashes.len() >= min_units).then_some(Self { unit, hash_bound: adjusted }))
    }

    /// Returns all documents or passages with their subset, in the source's order.
    pub(crate) fn assigned_documents<'a>(&self, source: &'a dyn Source) -> Result<AssignedDocuments<'a>, DataError> {
        Ok(AssignedDocuments {
            documents: source.documents()?,
            split: *self,
            previous: None,
            pending: Vec::new().into_iter(),
        })
    }

    /// Subset of a document with this hash.
    pub(crate) fn subset_of(&self, hash: u64) -> Subset {
        if hash < self.hash_bound { Subset::Validation } else { Subset::Training }
    }
}

/// Hashes below this bound are validation.
fn hash_bound(fraction: f64) -> Result<u64, DataError> {
    if !(fraction > 0.0 && fraction < 1.0) {
        let expected = "a number above 0 and below 1".into();
        return Err(DataError::Config { key: "data.validation", found: fraction.to_string(), expected });
    }
    Ok((fraction * 2f64.powi(64)) as u64)
}

/// Error for a source that cannot be split, with the number of bytes in it.
fn too_short_error(source: &dyn Source) -> DataError {
    let bytes =
        source.documents().map(|documents| documents.flatten().map(|document| document.text.len() as u64).sum());
    match bytes {
        Ok(0) => DataError::NoText { origin: source.describe() },
        Ok(bytes) => DataError::TooShort { origin: source.describe(), bytes },
        Err(error) => error,
    }
}

/// Iterator of [`ValidationSplit::assigned_documents`].
pub(crate) struct AssignedDocuments<'a> {
    documents: Documents<'a>,
    split: ValidationSplit,
    /// Subset and hash of the previous item: those of a continuation.
    previous: Option<(Subset, u64)>,
    pending: std::vec::IntoIter<AssignedDocument>,
}

impl Iterator for AssignedDocuments<'_> {
    type Item = Result<AssignedDocument, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(assigned) = self.pending.next() {
                return Some(Ok(assigned));
            }
            match self.documents.next()? {
                Ok(document) => self.pending = self.assign(document).into_iter(),
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

impl AssignedDocuments<'_> {
    /// Assigns a document, or each of its passages.
    fn assign(&mut self, document: Document) -> Vec<AssignedDocument> {
        match self.split.unit {
            SplitUnit::Document => vec![self.assign_document(document)],
            SplitUnit::Passage => self.assign_passages(&document),
        }
    }

    /// Assigns a whole document; a continuation gets the subset of the part before it.
    fn assign_document(&mut self, document: Document) -> AssignedDocument {
        let inherited = self.previous.filter(|_| document.is_continuation);
        let (subset, hash) = inherited.unwrap_or_else(|| {
            let hash = text_hash(&document.text);
            (self.split.subset_of(hash), hash)
        });
        self.previous = Some((subset, hash));
        AssignedDocument { subset, document, hash }
    }

    /// Assigns each passage by its own hash. A passage continues the one before it if both have the same subset.
    fn assign_passages(&mut self, document: &Document) -> Vec<AssignedDocument> {
        let mut previous_subset = self.previous.filter(|_| document.is_continuation).map(|(subset, _)| subset);
        let mut passages = Vec::new();
        for text in split_text::split_text(&document.text, MAX_PASSAGE_BYTES) {
            let hash = text_hash(text);
            let subset = self.split.subset_of(hash);
            let passage = Document {
                text: text.into(),
                origin: document.origin.clone(),
                is_continuation: previous_subset == Some(subset),
            };
            passages.push(AssignedDocument { subset, document: passage, hash });
            previous_subset = Some(subset);
            self.previous = Some((subset, hash));
        }
        passages
    }
}

/// First 64 bits of the SHA-256 of a text, big-endian.
pub(crate) fn text_hash(text: &str) -> u64 {
    let digest = Sha256::digest(text);
    digest.iter().take(8).fold(0, |hash, byte| (hash << 8) | u64::from(*byte))
}
