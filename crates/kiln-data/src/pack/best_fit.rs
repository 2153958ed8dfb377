//! Which pieces of which documents share a row: best-fit packing (2404.10830), so that as few documents as possible
//! are cut and little of a row stays empty.

use kiln_spec::Random;
use std::{cmp::Reverse, collections::BTreeMap, ops::Range};

/// A piece of a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DocumentChunk {
    pub document: u32,
    /// Its first token within the document.
    pub start: u32,
    pub length: u32,
}

/// Rows of pieces, none longer than the row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct PackingPlan {
    chunks: Vec<DocumentChunk>,
    /// Where each row ends among the places.
    row_ends: Vec<u32>,
    pub num_tokens: u64,
}

/// So many pieces are looked over at once: enough to fill rows well, few enough to stay cheap.
const PACKING_WINDOW: usize = 4096;

impl PackingPlan {
    /// Rows of at most `width` tokens for documents `order`, whose lengths are `lengths`. Without a `seed` the order is kept
    /// as far as packing allows, else the pieces are shuffled first.
    pub fn new(lengths: &[u32], order: &[usize], width: usize, seed: Option<u64>) -> Self {
        let mut pieces: Vec<DocumentChunk> =
            order.iter().flat_map(|d| split_document(*d, lengths[*d], width as u32)).collect();
        if let Some(seed) = seed {
            let shuffled = Random::new(seed, "packing", 0, 0).permutation(pieces.len());
            pieces = shuffled.into_iter().map(|i| pieces[i]).collect();
        }
        let mut plan = Self::default();
        pieces.chunks_mut(PACKING_WINDOW).for_each(|window| plan.pack_window(window, width as u32));
        plan
    }

    pub fn num_rows(&self) -> usize {
        self.row_ends.len()
    }

    pub fn row(&self, row: usize) -> &[DocumentChunk] {
        let start = if row == 0 { 0 } else { self.row_ends[row - 1] as usize };
        &self.chunks[start..self.row_ends[row] as usize]
    }

    /// Longest pieces first, each into the fullest row that still takes it.
    fn pack_window(&mut self, window: &mut [DocumentChunk], width: u32) {
        window.sort_by_key(|place| Reverse(place.length));
        let mut rows: Vec<Vec<DocumentChunk>> = Vec::new();
        let mut left: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
        for place in window {
            let (space, row) = take_best_fit(&mut left, place.length..width).unwrap_or((width, rows.len()));
            if row == rows.len() {
                rows.push(Vec::new());
            }
            rows[row].push(*place);
            left.entry(space - place.length).or_default().push(row);
        }
        for row in rows {
            self.num_tokens += row.iter().map(|place| u64::from(place.length)).sum::<u64>();
            self.chunks.extend(row);
            self.row_ends.push(self.chunks.len() as u32);
        }
    }
}

/// Takes out a row with the least space of `wanted`.
fn take_best_fit(left: &mut BTreeMap<u32, Vec<usize>>, wanted: Range<u32>) -> Option<(u32, usize)> {
    let (space, rows) = left.range_mut(wanted).next()?;
    let (space, row) = (*space, rows.pop()?);
    if rows.is_empty() {
        left.remove(&space);
    }
    Some((space, row))
}

/// A document in pieces of at most `width` tokens that overlap by one, so that each token but the first is predicted
/// in exactly one of them.
fn split_document(document: usize, length: u32, width: u32) -> impl Iterator<Item = DocumentChunk> {
    let starts = (0..length.saturating_sub(1).max(1)).step_by(width as usize - 1);
    starts.map(move |start| DocumentChunk { document: document as u32, start, length: width.min(length - start) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_target_is_predicted_once_and_no_row_is_too_long(
            lengths in prop::collection::vec(2u32..60, 0..80), width in 2usize..40, seed in prop::option::of(any::<u64>()),
        ) {
            let order: Vec<usize> = (0..lengths.len()).collect();
            let plan = PackingPlan::new(&lengths, &order, width, seed);
            let mut predicted: Vec<Vec<u32>> = lengths.iter().map(|n| vec![0; *n as usize]).collect();
            for row in 0..plan.num_rows() {
                prop_assert!(plan.row(row).iter().map(|p| p.length as usize).sum::<usize>() <= width);
                for place in plan.row(row) {
                    prop_assert!(place.length >= 2);
                    (place.start + 1..place.start + place.length)
                        .for_each(|token| predicted[place.document as usize][token as usize] += 1);
                }
            }
            prop_assert!(predicted.iter().all(|document| document[0] == 0 && document[1..].iter().all(|n| *n == 1)));
        }

        #[test]
        fn a_document_that_fits_is_never_cut(lengths in prop::collection::vec(2u32..30, 1..80)) {
            let plan = PackingPlan::new(&lengths, &(0..lengths.len()).collect::<Vec<_>>(), 30, Some(1));
            prop_assert!(plan.chunks.iter().all(|p| p.start == 0 && p.length == lengths[p.document as usize]));
        }
    }

    #[test]
    fn pieces_that_fit_together_share_rows() {
        let lengths: Vec<u32> = [7, 3, 6, 4, 5, 5].repeat(50);
        let plan = PackingPlan::new(&lengths, &(0..300).collect::<Vec<_>>(), 10, Some(3));
        assert_eq!((plan.num_rows(), plan.num_tokens), (150, 1500));
    }
}
