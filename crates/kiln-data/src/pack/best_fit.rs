//! Best-fit packing of documents, or of groups of documents, into rows (2404.10830): few documents are split and few positions are padding.
//!
//! Chunks are packed in windows of [`PACKING_WINDOW`]. Within a window, chunks are sorted by decreasing length and each
//! goes into the row with the least free space that is sufficient (best-fit decreasing, at most 11/9 of the optimal number
//! of rows plus a constant). Time: O(n log n) for n chunks.

use super::RowSize;
use kiln_spec::Random;
use std::{cmp::Reverse, collections::BTreeMap, ops::Range};

/// Chunk of a document: `length` tokens from token `start` on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DocumentChunk {
    /// Index of the document, or of the group, among those that are packed.
    pub document: u32,
    /// Index of the first token within the document; 0 for a group.
    pub start: u32,
    /// Number of tokens. At least 2 for a document, because the first token is not a target.
    pub length: u32,
}

/// Random order of the chunks and rows of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shuffle {
    pub seed: u64,
    /// Index of the source, which keeps the orders of several apart.
    pub source: u64,
}

/// Assignment of chunks to rows. Takes 12 bytes per chunk and 4 per row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct PackingPlan {
    /// Chunks of all rows, row after row.
    chunks: Vec<DocumentChunk>,
    /// End of each row in `chunks`.
    row_ends: Vec<u32>,
    /// Tokens in all rows, without padding.
    pub num_tokens: u64,
}

/// Number of chunks that are packed together: enough to fill rows well, few enough to pack fast.
const PACKING_WINDOW: usize = 4096;

impl PackingPlan {
    /// Packs the documents `order` into rows; document `d` has `lengths[d]` tokens. Longer documents are split.
    ///
    /// With a `shuffle`, the chunks are shuffled before they are packed. Without one, windows are cut from the chunks in the
    /// given order.
    pub fn new(lengths: &[u32], order: &[usize], row: RowSize, shuffle: Option<Shuffle>) -> Self {
        let split = |document: &usize| split_document(*document, lengths[*document], row.document_tokens() as u32);
        Self::pack(order.iter().flat_map(split).collect(), row.tokens, &|chunk| row.places(chunk.length, 1), shuffle)
    }

    /// Packs the groups `order`, each of which fits into a row; group `g` has `lengths[g]` tokens in `members(g)` documents.
    pub fn of_groups(
        lengths: &[u32],
        order: &[usize],
        members: impl Fn(usize) -> usize,
        row: RowSize,
        shuffle: Option<Shuffle>,
    ) -> Self {
        let whole = |group: &usize| DocumentChunk { document: *group as u32, start: 0, length: lengths[*group] };
        let places = |chunk: &DocumentChunk| row.places(chunk.length, members(chunk.document as usize));
        Self::pack(order.iter().map(whole).collect(), row.tokens, &places, shuffle)
    }

    /// Packs chunks, none of which takes more `places` than a row of `sequence_length` has.
    fn pack(
        mut chunks: Vec<DocumentChunk>,
        sequence_length: usize,
        places: &impl Fn(&DocumentChunk) -> u32,
        shuffle: Option<Shuffle>,
    ) -> Self {
        if let Some(Shuffle { seed, source }) = shuffle {
            let permutation = Random::new(seed, "packing", 0, source).permutation(chunks.len());
            chunks = permutation.into_iter().map(|i| chunks[i]).collect();
        }
        let mut plan = Self::default();
        chunks.chunks_mut(PACKING_WINDOW).for_each(|window| plan.pack_window(window, sequence_length as u32, places));
        plan
    }

    /// Returns the number of rows.
    pub fn num_rows(&self) -> usize {
        self.row_ends.len()
    }

    /// Returns the chunks of a row.
    pub fn row(&self, row: usize) -> &[DocumentChunk] {
        let start = if row == 0 { 0 } else { self.row_ends[row - 1] as usize };
        &self.chunks[start..self.row_ends[row] as usize]
    }

    /// Packs one window and appends its rows to the plan.
    fn pack_window(
        &mut self,
        window: &mut [DocumentChunk],
        sequence_length: u32,
        places: &impl Fn(&DocumentChunk) -> u32,
    ) {
        window.sort_by_key(|chunk| Reverse(places(chunk)));
        let mut rows: Vec<Vec<DocumentChunk>> = Vec::new();
        let mut rows_by_space: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
        for chunk in window {
            let (space, row) = take_best_fit(&mut rows_by_space, places(chunk)..sequence_length)
                .unwrap_or((sequence_length, rows.len()));
            if row == rows.len() {
                rows.push(Vec::new());
            }
            rows[row].push(*chunk);
            rows_by_space.entry(space - places(chunk)).or_default().push(row);
        }
        for row in rows {
            self.num_tokens += row.iter().map(|chunk| u64::from(chunk.length)).sum::<u64>();
            self.chunks.extend(row);
            self.row_ends.push(self.chunks.len() as u32);
        }
    }
}

/// Removes and returns the row (free space, index) with the least free space within `space_range`.
fn take_best_fit(rows_by_space: &mut BTreeMap<u32, Vec<usize>>, space_range: Range<u32>) -> Option<(u32, usize)> {
    let (space, rows) = rows_by_space.range_mut(space_range).next()?;
    let (space, row) = (*space, rows.pop()?);
    if rows.is_empty() {
        rows_by_space.remove(&space);
    }
    Some((space, row))
}

/// Splits a document into chunks of at most `sequence_length` tokens. Consecutive chunks overlap by one token, so that
/// each token except the first of the document is a target in exactly one chunk.
fn split_document(document: usize, length: u32, sequence_length: u32) -> impl Iterator<Item = DocumentChunk> {
    let starts = (0..length.saturating_sub(1).max(1)).step_by(sequence_length as usize - 1);
    starts.map(move |start| DocumentChunk {
        document: document as u32,
        start,
        length: sequence_length.min(length - start),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_token_is_a_target_once_and_no_row_is_too_long(
            lengths in prop::collection::vec(2u32..60, 0..80), width in 2usize..40, seed in prop::option::of(any::<u64>()),
        ) {
            let order: Vec<usize> = (0..lengths.len()).collect();
            let plan = PackingPlan::new(&lengths, &order, width.into(), seed.map(|seed| Shuffle { seed, source: 0 }));
            let mut predicted: Vec<Vec<u32>> = lengths.iter().map(|n| vec![0; *n as usize]).collect();
            for row in 0..plan.num_rows() {
                prop_assert!(plan.row(row).iter().map(|p| p.length as usize).sum::<usize>() <= width);
                for chunk in plan.row(row) {
                    prop_assert!(chunk.length >= 2);
                    (chunk.start + 1..chunk.start + chunk.length)
                        .for_each(|token| predicted[chunk.document as usize][token as usize] += 1);
                }
            }
            prop_assert!(predicted.iter().all(|document| document[0] == 0 && document[1..].iter().all(|n| *n == 1)));
        }

        #[test]
        fn a_document_that_fits_into_a_row_is_not_split(lengths in prop::collection::vec(2u32..30, 1..80)) {
            let plan = PackingPlan::new(&lengths, &(0..lengths.len()).collect::<Vec<_>>(), 30.into(), Some(Shuffle { seed: 1, source: 0 }));
            prop_assert!(plan.chunks.iter().all(|p| p.start == 0 && p.length == lengths[p.document as usize]));
        }
    }

    #[test]
    fn places_are_reserved_before_each_document() {
        let row = RowSize { tokens: 12, reserved: 3 };
        let lengths = [9, 4, 2, 20, 6, 3];
        let plan = PackingPlan::new(&lengths, &[0, 1, 2, 3, 4, 5], row, None);
        let mut targets = 0;
        for index in 0..plan.num_rows() {
            let chunks = plan.row(index);
            assert!(chunks.iter().map(|chunk| chunk.length + 3).sum::<u32>() <= 12, "{chunks:?}");
            targets += chunks.iter().map(|chunk| chunk.length - 1).sum::<u32>();
        }
        assert_eq!(targets, lengths.iter().map(|length| length - 1).sum::<u32>());
        assert_eq!(plan.num_rows(), 7, "9 | 4, 2 | 9 | 9 | 4 | 6 | 3: places count, not tokens");
    }

    #[test]
    fn chunks_that_fill_a_row_together_share_it() {
        let lengths: Vec<u32> = [7, 3, 6, 4, 5, 5].repeat(50);
        let plan =
            PackingPlan::new(&lengths, &(0..300).collect::<Vec<_>>(), 10.into(), Some(Shuffle { seed: 3, source: 0 }));
        assert_eq!((plan.num_rows(), plan.num_tokens), (150, 1500));
    }
}
