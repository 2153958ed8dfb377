//! Documents packed into rows of one width; the order of rows is a function of seed and step alone.

mod best_fit;
#[cfg(test)]
mod tests;

use crate::{Corpus, DataError, Vocabulary, corpus::Subset};
use best_fit::{DocumentChunk, PackingPlan};
use kiln_spec::Random;
use std::sync::{Arc, Mutex, PoisonError};

/// Tokens that belong together: a document, or a piece of one too long for a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sequence {
    /// Token ids.
    pub tokens: Vec<u32>,
    /// Number of the document on its side of the corpus.
    pub document: usize,
    /// Place of the first token within the document. If not 0, that token was predicted in another piece.
    pub start: usize,
    /// Whether the document ends here.
    pub ends_document: bool,
}

/// Rows of sequences, what an objective makes a batch of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackedSequences {
    /// Sequences of each row, together at most `width` tokens.
    pub rows: Vec<Vec<Sequence>>,
    /// Tokens a row.
    pub sequence_length: usize,
    /// What the tokens are.
    pub vocabulary: Arc<Vocabulary>,
}

impl PackedSequences {
    /// Id that fills up rows.
    pub fn pad_id(&self) -> u32 {
        self.vocabulary.special_tokens().pad
    }

    /// Number of tokens, without what fills up rows.
    pub fn num_tokens(&self) -> usize {
        self.rows.iter().flatten().map(|sequence| sequence.tokens.len()).sum()
    }
}

/// Deals out the rows of one side of a corpus.
#[derive(Debug)]
pub struct Packer {
    corpus: Arc<Corpus>,
    subset: Subset,
    sequence_length: usize,
    plan: PackingPlan,
    seed: Option<u64>,
    /// The order of the epoch last asked for.
    cached_order: Mutex<(u64, Arc<Vec<usize>>)>,
}

impl Packer {
    /// The training documents in rows of `width` tokens, every epoch in another order.
    ///
    /// Which pieces share a row is settled once, so that every epoch has the same number of rows and any step is
    /// found without those before it.
    pub fn training(corpus: Arc<Corpus>, width: usize, seed: u64) -> Result<Self, DataError> {
        let order: Vec<usize> = (0..corpus.training.num_documents()).collect();
        Self::new(corpus, Subset::Training, width, &order, Some(seed))
    }

    /// The held-out documents in rows of `width` tokens, always in the same order: all of them, or of more than
    /// `tokens` tokens those with the smallest hashes.
    pub fn validation(corpus: Arc<Corpus>, width: usize, tokens: Option<u64>) -> Result<Self, DataError> {
        let texts = &corpus.validation;
        let mut order: Vec<usize> = (0..texts.num_documents()).collect();
        order.sort_by_key(|document| texts.document_hashes()[*document]);
        let mut before = 0;
        let within = |document: &usize| {
            let more = tokens.is_none_or(|most| before < most);
            before += u64::from(texts.document_lengths()[*document]);
            more
        };
        let order: Vec<usize> = order.into_iter().take_while(within).collect();
        Self::new(corpus, Subset::Validation, width, &order, None)
    }

    fn new(
        corpus: Arc<Corpus>,
        side: Subset,
        width: usize,
        order: &[usize],
        seed: Option<u64>,
    ) -> Result<Self, DataError> {
        if !(2..=1 << 24).contains(&width) {
            let expected = "2 to 16777216 tokens".into();
            return Err(DataError::Config { key: "sequence_length", found: width.to_string(), expected });
        }
        let plan = PackingPlan::new(corpus.subset(side).document_lengths(), order, width, seed);
        if plan.num_rows() == 0 {
            return Err(DataError::NoText { origin: format!("{side:?} side of the corpus").to_lowercase() });
        }
        let first = Arc::new(row_order(seed, 0, plan.num_rows()));
        Ok(Self { corpus, subset: side, sequence_length: width, plan, seed, cached_order: Mutex::new((0, first)) })
    }

    /// Rows in one pass over the documents.
    pub fn num_rows(&self) -> usize {
        self.plan.num_rows()
    }

    /// Tokens in one pass; those that two pieces share count twice.
    pub fn num_tokens(&self) -> u64 {
        self.plan.num_tokens
    }

    /// The share of the rows that is filled with tokens.
    pub fn fill_ratio(&self) -> f64 {
        self.num_tokens() as f64 / (self.num_rows() * self.sequence_length) as f64
    }

    /// The corpus that the rows come from.
    pub fn corpus(&self) -> &Arc<Corpus> {
        &self.corpus
    }

    /// The `rows` rows of a step, epoch after epoch without a break.
    pub fn rows_at_step(&self, step: u64, rows: usize) -> Result<PackedSequences, DataError> {
        let first = step * rows as u64;
        self.read_rows(first..first + rows as u64)
    }

    /// One pass over all rows, `rows` at a time; the last time maybe fewer.
    pub fn iter_epoch(&self, rows: usize) -> impl Iterator<Item = Result<PackedSequences, DataError>> + '_ {
        let (all, rows) = (self.num_rows() as u64, rows.max(1));
        (0..all).step_by(rows).map(move |first| self.read_rows(first..all.min(first + rows as u64)))
    }

    fn read_rows(&self, rows: std::ops::Range<u64>) -> Result<PackedSequences, DataError> {
        let rows = rows.map(|row| self.read_row(row)).collect::<Result<_, _>>()?;
        Ok(PackedSequences { rows, sequence_length: self.sequence_length, vocabulary: self.corpus.vocabulary.clone() })
    }

    fn read_row(&self, row: u64) -> Result<Vec<Sequence>, DataError> {
        let all = self.num_rows() as u64;
        let order = self.epoch_order(row / all);
        let places = self.plan.row(order[(row % all) as usize]);
        places.iter().map(|place| self.read_sequence(place)).collect()
    }

    fn read_sequence(&self, place: &DocumentChunk) -> Result<Sequence, DataError> {
        let texts = self.corpus.subset(self.subset);
        let (document, start) = (place.document as usize, place.start as usize);
        let end = start + place.length as usize;
        let tokens = texts.read_tokens(document, start..end)?;
        Ok(Sequence { tokens, document, start, ends_document: end == texts.document_lengths()[document] as usize })
    }

    fn epoch_order(&self, epoch: u64) -> Arc<Vec<usize>> {
        let mut order = self.cached_order.lock().unwrap_or_else(PoisonError::into_inner);
        if order.0 != epoch {
            *order = (epoch, Arc::new(row_order(self.seed, epoch, self.num_rows())));
        }
        order.1.clone()
    }
}

fn row_order(seed: Option<u64>, epoch: u64, rows: usize) -> Vec<usize> {
    match seed {
        Some(seed) => Random::new(seed, "order", epoch, 0).permutation(rows),
        None => (0..rows).collect(),
    }
}
