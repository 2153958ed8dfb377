//! Which text is held out for validation: decided by a hash of the text, so that it stays held out when more is added.

use crate::{
    DataError,
    source::{Document, Documents, Source, parts},
};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;

/// One of the two halves of a corpus.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// Text to learn from.
    Training,
    /// Text that is held out.
    Validation,
}

/// With fewer different documents, passages are split instead.
const FEW: usize = 20;
/// Length of such a passage, in bytes at most.
const PASSAGE: usize = 2048;

/// How a source's text is split.
///
/// A document is held out if the hash of its text (of its first part, if it is long) is small enough. Where there
/// are fewer than twenty documents, passages of 2 KiB are split in the same way, and those that follow each other
/// on the same side stay together. Neither side is left empty: if need be, the nearest hash moves the bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Split {
    unit: Unit,
    /// Smaller hashes are held out.
    below: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    Document,
    Passage,
}

/// Text of one side, with its hash.
#[derive(Clone, Debug)]
pub(crate) struct Unified {
    pub side: Side,
    pub document: Document,
    pub hash: u64,
}

impl Split {
    /// Holds out a share of `source`. Reads as much of it as is needed to know that neither side is empty.
    pub fn new(source: &dyn Source, share: f64) -> Result<Self, DataError> {
        if !(share > 0.0 && share < 1.0) {
            let expected = "a number above 0 and below 1".into();
            return Err(DataError::Config { key: "data.validation", found: share.to_string(), expected });
        }
        let below = (share * 2f64.powi(64)) as u64;
        if let Some(split) = Self::adjusted(source, Unit::Document, below)? {
            return Ok(split);
        }
        Self::adjusted(source, Unit::Passage, below)?.ok_or_else(|| too_little(source))
    }

    /// Everything on one side.
    pub fn whole(side: Side) -> Self {
        Self { unit: Unit::Document, below: if side == Side::Validation { u64::MAX } else { 0 } }
    }

    /// The texts of one side, in the source's order.
    pub fn texts<'a>(
        &self,
        source: &'a dyn Source,
        side: Side,
    ) -> Result<impl Iterator<Item = Result<String, DataError>> + 'a, DataError> {
        let all = self.units(source)?;
        Ok(all.filter_map(move |unit| match unit {
            Ok(unit) => (unit.side == side).then_some(Ok(unit.document.text)),
            Err(error) => Some(Err(error)),
        }))
    }

    /// About `bytes` of training text, spread over all of the source if it knows its size: enough to train a
    /// tokenizer on.
    pub fn sample<'a>(
        &self,
        source: &'a dyn Source,
        bytes: u64,
    ) -> Result<impl Iterator<Item = Result<String, DataError>> + 'a, DataError> {
        let share = source.bytes().map_or(1.0, |all| bytes as f64 / all.max(1) as f64);
        let chosen = move |unit: &Unified| f64::from(unit.hash as u32) < share * 2f64.powi(32);
        let all = self.units(source)?;
        Ok(all.filter_map(move |unit| match unit {
            Ok(unit) => (unit.side == Side::Training && chosen(&unit)).then_some(Ok(unit.document.text)),
            Err(error) => Some(Err(error)),
        }))
    }

    /// The bound with which there is something on either side; `None` if there are too few units of this kind.
    fn adjusted(source: &dyn Source, unit: Unit, below: u64) -> Result<Option<Self>, DataError> {
        let few = if unit == Unit::Document { FEW } else { 2 };
        let (mut seen, mut least, mut most) = (BTreeSet::new(), u64::MAX, 0);
        for found in (Self { unit, below }).units(source)? {
            let hash = found?.hash;
            (least, most) = (least.min(hash), most.max(hash));
            if seen.len() < few {
                seen.insert(hash);
            }
            if seen.len() >= few && (least < below && below <= most) {
                return Ok(Some(Self { unit, below }));
            }
        }
        let enough = seen.len() >= few;
        Ok(enough.then(|| Self { unit, below: if least >= below { least.saturating_add(1) } else { most } }))
    }

    /// All text with its side, in the source's order.
    pub(crate) fn units<'a>(&self, source: &'a dyn Source) -> Result<Units<'a>, DataError> {
        Ok(Units { documents: source.documents()?, split: *self, last: None, ready: Vec::new().into_iter() })
    }

    fn side(&self, hash: u64) -> Side {
        if hash < self.below { Side::Validation } else { Side::Training }
    }
}

fn too_little(source: &dyn Source) -> DataError {
    let bytes = source.documents().map(|all| all.flatten().map(|document| document.text.len() as u64).sum());
    match bytes {
        Ok(0) => DataError::Empty { origin: source.describe() },
        Ok(bytes) => DataError::Short { origin: source.describe(), bytes },
        Err(error) => error,
    }
}

/// The stream of [`Split::units`].
pub(crate) struct Units<'a> {
    documents: Documents<'a>,
    split: Split,
    /// Side and hash of what came last: where a document that goes on belongs.
    last: Option<(Side, u64)>,
    ready: std::vec::IntoIter<Unified>,
}

impl Iterator for Units<'_> {
    type Item = Result<Unified, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(unit) = self.ready.next() {
                return Some(Ok(unit));
            }
            match self.documents.next()? {
                Ok(document) => self.ready = self.cut(document).into_iter(),
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

impl Units<'_> {
    fn cut(&mut self, document: Document) -> Vec<Unified> {
        match self.split.unit {
            Unit::Document => vec![self.whole(document)],
            Unit::Passage => self.passages(&document),
        }
    }

    fn whole(&mut self, document: Document) -> Unified {
        let before = self.last.filter(|_| document.continues);
        let (side, hash) = before.unwrap_or_else(|| {
            let hash = hash(&document.text);
            (self.split.side(hash), hash)
        });
        self.last = Some((side, hash));
        Unified { side, document, hash }
    }

    fn passages(&mut self, document: &Document) -> Vec<Unified> {
        let mut before = self.last.filter(|_| document.continues).map(|(side, _)| side);
        let mut units = Vec::new();
        for passage in parts::parts(&document.text, PASSAGE) {
            let hash = hash(passage);
            let side = self.split.side(hash);
            let piece =
                Document { text: passage.into(), origin: document.origin.clone(), continues: before == Some(side) };
            units.push(Unified { side, document: piece, hash });
            (before, self.last) = (Some(side), Some((side, hash)));
        }
        units
    }
}

fn hash(text: &str) -> u64 {
    let digest = Sha256::digest(text);
    digest.iter().take(8).fold(0, |hash, byte| (hash << 8) | u64::from(*byte))
}
