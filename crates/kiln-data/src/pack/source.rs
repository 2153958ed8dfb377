//! Packed rows of one source.

use super::{
    RowSize, Sequence,
    best_fit::{DocumentChunk, PackingPlan, Shuffle},
};
use crate::{
    DataError, TokenizedDocuments,
    corpus::DocumentPart,
    source::report::{Omissions, group_digits},
};
use kiln_spec::Random;
use std::sync::{Arc, Mutex, PoisonError};

/// Rows of the documents of one source.
#[derive(Debug)]
pub(super) struct PackedSource {
    /// Index of the source in the subset.
    part: usize,
    plan: PackingPlan,
    /// `None` for validation, whose rows stay in plan order.
    shuffle: Option<Shuffle>,
    /// Number of groups that are longer than a row.
    pub num_too_long: usize,
    /// Row order of the epoch that was read last.
    cached_order: Mutex<(u64, Arc<Vec<usize>>)>,
}

impl PackedSource {
    /// Packs the groups `groups` of source `part`.
    ///
    /// # Errors
    /// [`DataError::NoExamples`] if all of them are longer than a row.
    pub fn new(
        documents: &TokenizedDocuments,
        part: usize,
        groups: &[usize],
        row: RowSize,
        shuffle: Option<Shuffle>,
    ) -> Result<Self, DataError> {
        let source = &documents.parts()[part];
        let lengths = group_lengths(documents, source);
        let (plan, num_too_long) = if source.is_whole() {
            let members = |group: usize| source.group_documents(group).len();
            let (fitting, too_long): (Vec<usize>, Vec<usize>) =
                groups.iter().partition(|group| row.places(lengths[**group], members(**group)) as usize <= row.tokens);
            if fitting.is_empty() {
                return Err(all_too_long(source, &lengths, groups, row.document_tokens()));
            }
            (PackingPlan::of_groups(&lengths, &fitting, members, row, shuffle), too_long.len())
        } else {
            (PackingPlan::new(&lengths, groups, row, shuffle), 0)
        };
        let first_order = Arc::new(row_order(shuffle, 0, plan.num_rows()));
        Ok(Self { part, plan, shuffle, num_too_long, cached_order: Mutex::new((0, first_order)) })
    }

    /// Number of rows in an epoch of the source.
    pub fn num_rows(&self) -> usize {
        self.plan.num_rows()
    }

    /// Number of tokens in these rows.
    pub fn num_tokens(&self) -> u64 {
        self.plan.num_tokens
    }

    /// Share of the source in a mixture, relative to the others.
    pub fn weight(&self, documents: &TokenizedDocuments) -> f64 {
        documents.parts()[self.part].weight
    }

    /// Row by its index in the endless sequence of epochs of the source.
    pub fn read_row(&self, documents: &TokenizedDocuments, row: u64) -> Result<Vec<Sequence>, DataError> {
        let rows_per_epoch = self.num_rows() as u64;
        let order = self.epoch_order(row / rows_per_epoch);
        let chunks = self.plan.row(order[(row % rows_per_epoch) as usize]);
        let mut sequences = Vec::with_capacity(chunks.len());
        for chunk in chunks {
            self.read_chunk(documents, chunk, &mut sequences)?;
        }
        Ok(sequences)
    }

    /// Appends the sequences of a chunk: a part of a document, or all documents of a group.
    fn read_chunk(
        &self,
        documents: &TokenizedDocuments,
        chunk: &DocumentChunk,
        sequences: &mut Vec<Sequence>,
    ) -> Result<(), DataError> {
        let source = &documents.parts()[self.part];
        let group = chunk.document as usize;
        for (member, document) in source.group_documents(group).enumerate() {
            let length = documents.document_lengths()[document] as usize;
            let start = chunk.start as usize;
            let end = if source.is_whole() { length } else { start + chunk.length as usize };
            sequences.push(Sequence {
                tokens: documents.read_tokens(document, start..end)?,
                document,
                start,
                ends_document: end == length,
                loss_weights: if source.is_whole() { documents.loss_weights(document)? } else { None },
                group: source.group_index(group),
                member,
            });
        }
        Ok(())
    }

    /// Row order of an epoch. Steps are mostly read in order, so one cached epoch is enough.
    fn epoch_order(&self, epoch: u64) -> Arc<Vec<usize>> {
        let mut cached = self.cached_order.lock().unwrap_or_else(PoisonError::into_inner);
        if cached.0 != epoch {
            *cached = (epoch, Arc::new(row_order(self.shuffle, epoch, self.num_rows())));
        }
        cached.1.clone()
    }
}

/// Tokens of each group of a source.
fn group_lengths(documents: &TokenizedDocuments, source: &DocumentPart) -> Vec<u32> {
    let lengths = documents.document_lengths();
    let of_group = |group| lengths[source.group_documents(group)].iter().fold(0_u32, |sum, n| sum.saturating_add(*n));
    (0..source.num_groups()).map(of_group).collect()
}

/// Error for a source of which no group fits into a row.
fn all_too_long(source: &DocumentPart, lengths: &[u32], groups: &[usize], sequence_length: usize) -> DataError {
    let shortest = groups.iter().map(|group| lengths[*group]).min().unwrap_or_default();
    let mut left_out = Omissions::default();
    left_out.add_message(format_args!(
        "all {} examples are longer than a row of {sequence_length} tokens; the shortest has {}",
        group_digits(groups.len() as u64),
        group_digits(u64::from(shortest))
    ));
    DataError::NoExamples { origin: source.origin.clone(), left_out }
}

/// Permutation of the rows in an epoch; without a shuffle the rows stay in plan order.
fn row_order(shuffle: Option<Shuffle>, epoch: u64, num_rows: usize) -> Vec<usize> {
    match shuffle {
        Some(Shuffle { seed, source }) => Random::new(seed, "order", epoch, source).permutation(num_rows),
        None => (0..num_rows).collect(),
    }
}
