//! Sequence packing: documents are packed into rows of a fixed length, and rows are dealt out by step number.
//!
//! The sequences of a group, such as the two answers of a preference, stand in one row, one after the other. Examples are never
//! cut: one that is longer than a row is left out and counted. Only text is cut.
//!
//! Packing is best-fit decreasing (2404.10830), so that few documents are split and little padding is needed.
//! Documents longer than a row are split into chunks that overlap by one token. The packing is computed once; each epoch
//! visits all rows in another order. The rows of a step are a function of the seed and the step number only, so that
//! training can resume at any step and several threads can read ahead.

mod best_fit;
mod interleave;
mod source;
#[cfg(test)]
mod tests;

use crate::{
    Corpus, DataError, TokenizedDocuments, Vocabulary,
    corpus::{DocumentPart, Subset},
};
use best_fit::Shuffle;
use interleave::RowOrder;
use source::PackedSource;
use std::sync::Arc;

/// Document, or chunk of a document that is longer than a row.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sequence {
    /// Token ids. `<bos>` is the first one if `start` is 0; `<eos>` is the last one if `ends_document`.
    pub tokens: Vec<u32>,
    /// Index of the document in its subset of the corpus.
    pub document: usize,
    /// Position of the first token within the document. If it is not 0, the previous chunk predicts that token.
    pub start: usize,
    /// Whether the last token is the last one of the document.
    pub ends_document: bool,
    /// Loss weight of each token as a target, such as 1 in the answers of a chat and 0 elsewhere. `None`: 1 for all.
    pub loss_weights: Option<Vec<f32>>,
    /// Index of the group in the subset: sequences that belong together, such as the two answers of a preference. The
    /// sequences of a group stand in one row, one after the other. A document without a group is a group of its own.
    pub group: usize,
    /// Place in the group, from 0.
    pub member: usize,
}

impl Sequence {
    /// Loss weight of the token at `index` as a target.
    pub fn loss_weight(&self, index: usize) -> f32 {
        self.loss_weights.as_ref().map_or(1.0, |weights| weights[index])
    }
}

/// Rows of sequences: the input of an objective, which makes a [`crate::Batch`] of them.
#[derive(Clone, Debug, PartialEq)]
pub struct PackedSequences {
    /// Sequences of each row; together they have at most `sequence_length` tokens.
    pub rows: Vec<Vec<Sequence>>,
    /// Length of a row in tokens, padding included.
    pub sequence_length: usize,
    /// Vocabulary of the token ids.
    pub vocabulary: Arc<Vocabulary>,
}

impl PackedSequences {
    /// Returns the id of the padding token.
    pub fn pad_id(&self) -> u32 {
        self.vocabulary.special_tokens().pad
    }

    /// Returns the number of tokens without padding.
    pub fn num_tokens(&self) -> usize {
        self.rows.iter().flatten().map(|sequence| sequence.tokens.len()).sum()
    }
}

/// Places of a row, and how many of them each document leaves free: a model may have virtual tokens before each document.
///
/// A number of tokens is a row without free places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowSize {
    /// Places of a row.
    pub tokens: usize,
    /// Places that are left free for each document of a row, at its end.
    pub reserved: usize,
}

impl From<usize> for RowSize {
    fn from(tokens: usize) -> Self {
        Self { tokens, reserved: 0 }
    }
}

impl RowSize {
    /// Returns the number of tokens of a document that fills a row.
    pub fn document_tokens(&self) -> usize {
        self.tokens.saturating_sub(self.reserved)
    }

    /// Returns the number of places that `documents` documents of `tokens` tokens together take.
    fn places(&self, tokens: u32, documents: usize) -> u32 {
        tokens.saturating_add((self.reserved * documents) as u32)
    }
}

/// Packed rows of one subset of a corpus, addressed by step number.
///
/// Each source of a mixture is packed by itself, so that a row holds documents of one source. The rows of training are
/// interleaved smoothly by the weights of the sources; an epoch has as many rows as all sources together.
///
/// Shared between threads behind an [`Arc`]; all methods take `&self`.
#[derive(Debug)]
pub struct Packer {
    corpus: Arc<Corpus>,
    subset: Subset,
    sequence_length: usize,
    sources: Vec<PackedSource>,
    order: RowOrder,
}

impl Packer {
    /// Packs the training documents into rows of this size, with a new row order in each epoch.
    ///
    /// The packing depends on `seed`, but not on the epoch: every epoch has the same number of rows.
    ///
    /// # Errors
    /// [`DataError::Config`] unless a document can have from 2 to 2²⁴ tokens; [`DataError::NoText`] without documents;
    /// [`DataError::NoExamples`] if every example of a source is longer than a row.
    pub fn training(corpus: Arc<Corpus>, row: impl Into<RowSize>, seed: u64) -> Result<Self, DataError> {
        let all = corpus.training.parts().iter().map(|part| (0..part.num_groups()).collect()).collect();
        Self::new(corpus, Subset::Training, row.into(), all, Some(seed))
    }

    /// Packs the validation documents into rows of this size, always in the same order: source after source.
    ///
    /// With `max_tokens`, the documents with the smallest hashes are used, as many as are needed to reach that number.
    /// Their choice does not depend on the order of the source.
    ///
    /// # Errors
    /// As [`training`](Self::training).
    pub fn validation(
        corpus: Arc<Corpus>,
        row: impl Into<RowSize>,
        max_tokens: Option<u64>,
    ) -> Result<Self, DataError> {
        let chosen = choose_groups(&corpus.validation, max_tokens);
        Self::new(corpus, Subset::Validation, row.into(), chosen, None)
    }

    /// Packs the groups `chosen` of each source.
    fn new(
        corpus: Arc<Corpus>,
        subset: Subset,
        row: RowSize,
        chosen: Vec<Vec<usize>>,
        seed: Option<u64>,
    ) -> Result<Self, DataError> {
        if !(2..=1 << 24).contains(&row.document_tokens()) {
            let expected = match row.reserved {
                0 => "2 to 16777216 tokens".into(),
                reserved => format!("2 to 16777216 tokens besides {reserved} virtual tokens"),
            };
            return Err(DataError::Config { key: "sequence_length", found: row.tokens.to_string(), expected });
        }
        let documents = corpus.subset(subset);
        let mut sources = Vec::new();
        for (index, groups) in chosen.iter().enumerate().filter(|(_, groups)| !groups.is_empty()) {
            let shuffle = seed.map(|seed| Shuffle { seed, source: index as u64 });
            sources.push(PackedSource::new(documents, index, groups, row, shuffle)?);
        }
        if sources.is_empty() {
            return Err(DataError::NoText { origin: format!("{subset:?} subset of the corpus").to_lowercase() });
        }
        let order = match seed {
            Some(_) => RowOrder::interleaved(sources.iter().map(|source| source.weight(documents)).collect()),
            None => RowOrder::sequential(sources.iter().map(PackedSource::num_rows).collect()),
        };
        Ok(Self { corpus, subset, sequence_length: row.tokens, sources, order })
    }

    /// Returns the number of rows in one epoch: as many as all sources have together.
    ///
    /// In an epoch of a mixture, a source with a greater share of the weights than of the rows is repeated, and one with a smaller
    /// share is not read to its end; it continues in the next epoch.
    pub fn num_rows(&self) -> usize {
        self.sources.iter().map(PackedSource::num_rows).sum()
    }

    /// Returns the number of tokens in the rows of all sources, without padding. The token shared by two chunks counts twice.
    pub fn num_tokens(&self) -> u64 {
        self.sources.iter().map(PackedSource::num_tokens).sum()
    }

    /// Returns the fraction of row positions that hold tokens and not padding, in (0, 1].
    pub fn fill_ratio(&self) -> f64 {
        self.num_tokens() as f64 / (self.num_rows() * self.sequence_length) as f64
    }

    /// Returns the number of examples that are longer than a row, which were left out.
    pub fn num_too_long(&self) -> usize {
        self.sources.iter().map(|source| source.num_too_long).sum()
    }

    /// Returns the corpus that is packed.
    pub fn corpus(&self) -> &Arc<Corpus> {
        &self.corpus
    }

    /// Returns the `batch_size` rows of a step, counted from 0. A batch may cross the end of an epoch.
    ///
    /// Row `i` of step `s` is row `s · batch_size + i` of the endless sequence of epochs.
    ///
    /// # Errors
    /// [`DataError::Io`] if the corpus' scratch file cannot be read.
    pub fn rows_at_step(&self, step: u64, batch_size: usize) -> Result<PackedSequences, DataError> {
        let first = step * batch_size as u64;
        self.read_rows(first..first + batch_size as u64)
    }

    /// Iterates over one epoch, `batch_size` rows at a time; the last batch may have fewer rows.
    pub fn iter_epoch(&self, batch_size: usize) -> impl Iterator<Item = Result<PackedSequences, DataError>> + '_ {
        let num_rows = self.num_rows() as u64;
        let batch_size = batch_size.max(1);
        (0..num_rows)
            .step_by(batch_size)
            .map(move |first| self.read_rows(first..num_rows.min(first + batch_size as u64)))
    }

    /// Rows by their index in the endless sequence of epochs.
    fn read_rows(&self, rows: std::ops::Range<u64>) -> Result<PackedSequences, DataError> {
        let documents = self.corpus.subset(self.subset);
        let rows = rows.map(|row| {
            let (source, row) = self.order.locate(row);
            self.sources[source].read_row(documents, row)
        });
        let rows = rows.collect::<Result<_, _>>()?;
        Ok(PackedSequences { rows, sequence_length: self.sequence_length, vocabulary: self.corpus.vocabulary.clone() })
    }
}

/// The groups of each source with the smallest hashes, as many as are needed to reach `max_tokens`, in the order of their
/// hashes.
fn choose_groups(documents: &TokenizedDocuments, max_tokens: Option<u64>) -> Vec<Vec<usize>> {
    let parts = documents.parts();
    let of_part = |(index, part): (usize, &DocumentPart)| (0..part.num_groups()).map(move |group| (index, group));
    let mut groups: Vec<(usize, usize)> = parts.iter().enumerate().flat_map(of_part).collect();
    groups.sort_by_key(|(part, group)| documents.document_hashes()[parts[*part].group_documents(*group).start]);
    let mut chosen = vec![Vec::new(); parts.len()];
    let mut tokens_before = 0;
    for (part, group) in groups {
        if max_tokens.is_some_and(|limit| tokens_before >= limit) {
            break;
        }
        let members = parts[part].group_documents(group);
        tokens_before += documents.document_lengths()[members].iter().map(|length| u64::from(*length)).sum::<u64>();
        chosen[part].push(group);
    }
    chosen
}
