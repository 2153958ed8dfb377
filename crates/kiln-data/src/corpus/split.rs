//! Which text is held out for validation: decided by a hash of the text, so that it stays held out when more is added.

use crate::{
    DataError,
    source::{Document, Documents, Source, split_text},
};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;

/// One of the two halves of a corpus.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Subset {
    /// Text to learn from.
    Training,
    /// Text that is held out.
    Validation,
}

/// With fewer different documents, passages are split instead.
const MIN_DOCUMENTS: usize = 20;
/// Length of such a passage, in bytes at most.
const MAX_PASSAGE_BYTES: usize = 2048;

/// How a source's text is split.
///
/// A document is held out if the hash of its text (of its first part, if it is long) is small enough. Where there
/// are fewer than twenty documents, passages of 2 KiB are split in the same way, and those that follow each other
/// on the same side stay together. Neither side is left empty: if need be, the nearest hash moves the bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ValidationSplit {
    unit: SplitUnit,
    /// Smaller hashes are held out.
    hash_bound: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SplitUnit {
    Document,
    Passage,
}

/// Text of one side, with its hash.
#[derive(Clone, Debug)]
pub(crate) struct AssignedDocument {
    pub subset: Subset,
    pub document: Document,
    pub hash: u64,
}

impl ValidationSplit {
    /// Holds out a share of `source`. Reads as much of it as is needed to know that neither side is empty.
    pub fn new(source: &dyn Source, share: f64) -> Result<Self, DataError> {
        if !(share > 0.0 && share < 1.0) {
            let expected = "a number above 0 and below 1".into();
            return Err(DataError::Config { key: "data.validation", found: share.to_string(), expected });
        }
        let below = (share * 2f64.powi(64)) as u64;
        if let Some(split) = Self::with_adjusted_bound(source, SplitUnit::Document, below)? {
            return Ok(split);
        }
        Self::with_adjusted_bound(source, SplitUnit::Passage, below)?.ok_or_else(|| too_short_error(source))
    }

    /// Everything on one side.
    pub fn unsplit(side: Subset) -> Self {
        Self { unit: SplitUnit::Document, hash_bound: if side == Subset::Validation { u64::MAX } else { 0 } }
    }

    /// The texts of one side, in the source's order.
    pub fn texts<'a>(
        &self,
        source: &'a dyn Source,
        side: Subset,
    ) -> Result<impl Iterator<Item = Result<String, DataError>> + 'a, DataError> {
        let all = self.assigned_documents(source)?;
        Ok(all.filter_map(move |unit| match unit {
            Ok(unit) => (unit.subset == side).then_some(Ok(unit.document.text)),
            Err(error) => Some(Err(error)),
        }))
    }

    /// About `bytes` of training text, spread over all of the source if it knows its size: enough to train a
    /// tokenizer on.
    pub fn training_sample<'a>(
        &self,
        source: &'a dyn Source,
        bytes: u64,
    ) -> Result<impl Iterator<Item = Result<String, DataError>> + 'a, DataError> {
        let share = source.size_bytes().map_or(1.0, |all| bytes as f64 / all.max(1) as f64);
        let chosen = move |unit: &AssignedDocument| f64::from(unit.hash as u32) < share * 2f64.powi(32);
        let all = self.assigned_documents(source)?;
        Ok(all.filter_map(move |unit| match unit {
            Ok(unit) => (unit.subset == Subset::Training && chosen(&unit)).then_some(Ok(unit.document.text)),
            Err(error) => Some(Err(error)),
        }))
    }

    /// The bound with which there is something on either side; `None` if there are too few units of this kind.
    fn with_adjusted_bound(source: &dyn Source, unit: SplitUnit, below: u64) -> Result<Option<Self>, DataError> {
        let few = if unit == SplitUnit::Document { MIN_DOCUMENTS } else { 2 };
        let (mut seen, mut least, mut most) = (BTreeSet::new(), u64::MAX, 0);
        for found in (Self { unit, hash_bound: below }).assigned_documents(source)? {
            let hash = found?.hash;
            (least, most) = (least.min(hash), most.max(hash));
            if seen.len() < few {
                seen.insert(hash);
            }
            if seen.len() >= few && (least < below && below <= most) {
                return Ok(Some(Self { unit, hash_bound: below }));
            }
        }
        let enough = seen.len() >= few;
        Ok(enough.then(|| Self { unit, hash_bound: if least >= below { least.saturating_add(1) } else { most } }))
    }

    /// All text with its side, in the source's order.
    pub(crate) fn assigned_documents<'a>(&self, source: &'a dyn Source) -> Result<AssignedDocuments<'a>, DataError> {
        Ok(AssignedDocuments {
            documents: source.documents()?,
            split: *self,
            previous: None,
            pending: Vec::new().into_iter(),
        })
    }

    fn subset_of(&self, hash: u64) -> Subset {
        if hash < self.hash_bound { Subset::Validation } else { Subset::Training }
    }
}

fn too_short_error(source: &dyn Source) -> DataError {
    let bytes = source.documents().map(|all| all.flatten().map(|document| document.text.len() as u64).sum());
    match bytes {
        Ok(0) => DataError::NoText { origin: source.describe() },
        Ok(bytes) => DataError::TooShort { origin: source.describe(), bytes },
        Err(error) => error,
    }
}

/// The stream of [`Split::units`].
pub(crate) struct AssignedDocuments<'a> {
    documents: Documents<'a>,
    split: ValidationSplit,
    /// Side and hash of what came last: where a document that goes on belongs.
    previous: Option<(Subset, u64)>,
    pending: std::vec::IntoIter<AssignedDocument>,
}

impl Iterator for AssignedDocuments<'_> {
    type Item = Result<AssignedDocument, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(unit) = self.pending.next() {
                return Some(Ok(unit));
            }
            match self.documents.next()? {
                Ok(document) => self.pending = self.assign(document).into_iter(),
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

impl AssignedDocuments<'_> {
    fn assign(&mut self, document: Document) -> Vec<AssignedDocument> {
        match self.split.unit {
            SplitUnit::Document => vec![self.assign_document(document)],
            SplitUnit::Passage => self.assign_passages(&document),
        }
    }

    fn assign_document(&mut self, document: Document) -> AssignedDocument {
        let before = self.previous.filter(|_| document.is_continuation);
        let (side, hash) = before.unwrap_or_else(|| {
            let hash = text_hash(&document.text);
            (self.split.subset_of(hash), hash)
        });
        self.previous = Some((side, hash));
        AssignedDocument { subset: side, document, hash }
    }

    fn assign_passages(&mut self, document: &Document) -> Vec<AssignedDocument> {
        let mut before = self.previous.filter(|_| document.is_continuation).map(|(side, _)| side);
        let mut units = Vec::new();
        for passage in split_text::split_text(&document.text, MAX_PASSAGE_BYTES) {
            let hash = text_hash(passage);
            let side = self.split.subset_of(hash);
            let piece = Document {
                text: passage.into(),
                origin: document.origin.clone(),
                is_continuation: before == Some(side),
            };
            units.push(AssignedDocument { subset: side, document: piece, hash });
            (before, self.previous) = (Some(side), Some((side, hash)));
        }
        units
    }
}

fn text_hash(text: &str) -> u64 {
    let digest = Sha256::digest(text);
    digest.iter().take(8).fold(0, |hash, byte| (hash << 8) | u64::from(*byte))
}
