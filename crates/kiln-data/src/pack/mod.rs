//! Sequence packing: documents are packed into rows of a fixed length, and rows are dealt out by step number.
//!
//! Packing is best-fit decreasing (2404.10830), so that few documents are split and little padding is needed.
//! Documents longer than a row are split into chunks that overlap by one token. The packing is computed once; each epoch
//! visits all rows in another order. The rows of a step are a function of the seed and the step number only, so that
//! training can resume at any step and several threads can read ahead.

mod best_fit;
#[cfg(test)]
mod tests;

use crate::{Corpus, DataError, Vocabulary, corpus::Subset};
use best_fit::{DocumentChunk, PackingPlan};
use kiln_spec::Random;
use std::sync::{Arc, Mutex, PoisonError};

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

/// Packed rows of one subset of a corpus, addressed by step number.
///
/// Shared between threads behind an [`Arc`]; all methods take `&self`.
#[derive(Debug)]
pub struct Packer {
    corpus: Arc<Corpus>,
    subset: Subset,
    sequence_length: usize,
    plan: PackingPlan,
    /// Seed of packing and row order; `None` for validation.
    seed: Option<u64>,
    /// Row order of the epoch that was read last.
    cached_order: Mutex<(u64, Arc<Vec<usize>>)>,
}

impl Packer {
    /// Packs the training documents into rows of `sequence_length` tokens, with a new row order in each epoch.
    ///
    /// The packing depends on `seed`, but not on the epoch: every epoch has the same number of rows.
    ///
    /// # Errors
    /// [`DataError::Config`] unless `sequence_length` is from 2 to 2²⁴; [`DataError::NoText`] without documents.
    pub fn training(corpus: Arc<Corpus>, sequence_length: usize, seed: u64) -> Result<Self, DataError> {
        let order: Vec<usize> = (0..corpus.training.num_documents()).collect();
        Self::new(corpus, Subset::Training, sequence_length, &order, Some(seed))
    }

    /// Packs the validation documents into rows of `sequence_length` tokens, always in the same order.
    ///
    /// With `max_tokens`, the documents with the smallest hashes are used, as many as are needed to reach that number.
    /// Their choice does not depend on the order of the source.
    ///
    /// # Errors
    /// As [`training`](Self::training).
    pub fn validation(corpus: Arc<Corpus>, sequence_length: usize, max_tokens: Option<u64>) -> Result<Self, DataError> {
        let documents = &corpus.validation;
        let mut order: Vec<usize> = (0..documents.num_documents()).collect();
        order.sort_by_key(|document| documents.document_hashes()[*document]);
        let mut tokens_before = 0;
        let starts_below_limit = |document: &usize| {
            let is_below = max_tokens.is_none_or(|limit| tokens_before < limit);
            tokens_before += u64::from(documents.document_lengths()[*document]);
            is_below
        };
        let order: Vec<usize> = order.into_iter().take_while(starts_below_limit).collect();
        Self::new(corpus, Subset::Validation, sequence_length, &order, None)
    }

    /// Packs the documents `order` of a subset.
    fn new(
        corpus: Arc<Corpus>,
        subset: Subset,
        sequence_length: usize,
        order: &[usize],
        seed: Option<u64>,
    ) -> Result<Self, DataError> {
        if !(2..=1 << 24).contains(&sequence_length) {
            let expected = "2 to 16777216 tokens".into();
            return Err(DataError::Config { key: "sequence_length", found: sequence_length.to_string(), expected });
        }
        let plan = PackingPlan::new(corpus.subset(subset).document_lengths(), order, sequence_length, seed);
        if plan.num_rows() == 0 {
            return Err(DataError::NoText { origin: format!("{subset:?} subset of the corpus").to_lowercase() });
        }
        let first_order = Arc::new(row_order(seed, 0, plan.num_rows()));
        Ok(Self { corpus, subset, sequence_length, plan, seed, cached_order: Mutex::new((0, first_order)) })
    }

    /// Returns the number of rows in one epoch.
    pub fn num_rows(&self) -> usize {
        self.plan.num_rows()
    }

    /// Returns the number of tokens in one epoch, without padding. The token shared by two chunks counts twice.
    pub fn num_tokens(&self) -> u64 {
        self.plan.num_tokens
    }

    /// Returns the fraction of row positions that hold tokens and not padding, in (0, 1].
    pub fn fill_ratio(&self) -> f64 {
        self.num_tokens() as f64 / (self.num_rows() * self.sequence_length) as f64
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
        let rows = rows.map(|row| self.read_row(row)).collect::<Result<_, _>>()?;
        Ok(PackedSequences { rows, sequence_length: self.sequence_length, vocabulary: self.corpus.vocabulary.clone() })
    }

    /// Row by its index in the endless sequence of epochs.
    fn read_row(&self, row: u64) -> Result<Vec<Sequence>, DataError> {
        let rows_per_epoch = self.num_rows() as u64;
        let order = self.epoch_order(row / rows_per_epoch);
        let chunks = self.plan.row(order[(row % rows_per_epoch) as usize]);
        chunks.iter().map(|chunk| self.read_sequence(chunk)).collect()
    }

    /// Reads the tokens of a chunk.
    fn read_sequence(&self, chunk: &DocumentChunk) -> Result<Sequence, DataError> {
        let documents = self.corpus.subset(self.subset);
        let document = chunk.document as usize;
        let start = chunk.start as usize;
        let end = start + chunk.length as usize;
        let tokens = documents.read_tokens(document, start..end)?;
        let ends_document = end == documents.document_lengths()[document] as usize;
        Ok(Sequence { tokens, document, start, ends_document, group: document, ..Sequence::default() })
    }

    /// Row order of an epoch. Steps are mostly read in order, so one cached epoch is enough.
    fn epoch_order(&self, epoch: u64) -> Arc<Vec<usize>> {
        let mut cached = self.cached_order.lock().unwrap_or_else(PoisonError::into_inner);
        if cached.0 != epoch {
            *cached = (epoch, Arc::new(row_order(self.seed, epoch, self.num_rows())));
        }
        cached.1.clone()
    }
}

/// Permutation of the rows in an epoch; without a seed the rows stay in plan order.
fn row_order(seed: Option<u64>, epoch: u64, num_rows: usize) -> Vec<usize> {
    match seed {
        Some(seed) => Random::new(seed, "order", epoch, 0).permutation(num_rows),
        None => (0..num_rows).collect(),
    }
}
