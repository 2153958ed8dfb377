//! Order of the rows of several sources.
//!
//! Training interleaves the rows smoothly by weight: after `r` rows, source `i` has had about `r · wᵢ / Σ w` of them. Row `r` is
//! from the source that lags behind most: the largest `(r + 1) · wᵢ / Σ w − nᵢ`, where `nᵢ` is the number of its rows so far, the
//! first source of several. The order depends on the weights only, so that a run resumes at any row.

use std::sync::{Mutex, PoisonError};

/// Source and index of each row of the endless sequence of epochs.
#[derive(Debug)]
pub(super) enum RowOrder {
    /// Training.
    Interleaved {
        /// Shares of the sources, which add up to 1.
        shares: Vec<f64>,
        /// State before a row. Rows are mostly read in order, so that it moves by one row.
        state: Mutex<State>,
    },
    /// Validation: all rows of the first source, then those of the second. Holds their numbers of rows.
    Sequential(Vec<u64>),
}

/// Number of rows that each source has had before row `row`.
#[derive(Debug, Clone, Default)]
pub(super) struct State {
    row: u64,
    counts: Vec<u64>,
}

impl RowOrder {
    /// Rows interleaved by weight. The weights are above 0.
    pub fn interleaved(weights: Vec<f64>) -> Self {
        let sum: f64 = weights.iter().sum();
        let shares: Vec<f64> = weights.iter().map(|weight| weight / sum).collect();
        let state = State { row: 0, counts: vec![0; shares.len()] };
        Self::Interleaved { shares, state: Mutex::new(state) }
    }

    /// Source after source, with these numbers of rows.
    pub fn sequential(num_rows: Vec<usize>) -> Self {
        Self::Sequential(num_rows.into_iter().map(|rows| rows as u64).collect())
    }

    /// Source of a row, and its index among the rows of the source.
    pub fn locate(&self, row: u64) -> (usize, u64) {
        match self {
            Self::Interleaved { shares, .. } if shares.len() == 1 => (0, row),
            Self::Interleaved { shares, state } => {
                let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
                if row < state.row {
                    *state = State { row: 0, counts: vec![0; shares.len()] };
                }
                while state.row < row {
                    state.advance(shares);
                }
                let source = state.next_source(shares);
                let index = state.counts[source];
                state.advance(shares);
                (source, index)
            }
            Self::Sequential(num_rows) => {
                let mut rest = row % num_rows.iter().sum::<u64>().max(1);
                let source = num_rows.iter().position(|rows| {
                    let is_here = rest < *rows;
                    rest -= if is_here { 0 } else { *rows };
                    is_here
                });
                (source.unwrap_or_default(), rest)
            }
        }
    }
}

impl State {
    /// The source of row `row`.
    fn next_source(&self, shares: &[f64]) -> usize {
        let lag = |source: usize| (self.row + 1) as f64 * shares[source] - self.counts[source] as f64;
        let mut next = 0;
        for source in 1..shares.len() {
            if lag(source) > lag(next) {
                next = source;
            }
        }
        next
    }

    fn advance(&mut self, shares: &[f64]) {
        let source = self.next_source(shares);
        self.counts[source] += 1;
        self.row += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn rows_are_interleaved_smoothly() {
        let order = RowOrder::interleaved(vec![3.0, 1.0]);
        let sources: Vec<usize> = (0..8).map(|row| order.locate(row).0).collect();
        assert_eq!(sources, [0, 0, 1, 0, 0, 0, 1, 0]);
        let order = RowOrder::sequential(vec![2, 0, 3]);
        let rows: Vec<(usize, u64)> = (0..6).map(|row| order.locate(row)).collect();
        assert_eq!(rows, [(0, 0), (0, 1), (2, 0), (2, 1), (2, 2), (0, 0)]);
    }

    proptest! {
        #[test]
        fn shares_are_kept_at_every_row_and_any_row_can_be_read_first(
            weights in prop::collection::vec(0.01f64..9.0, 1..6), rows in 1u64..300,
        ) {
            let (sum, order) = (weights.iter().sum::<f64>(), RowOrder::interleaved(weights.clone()));
            let located: Vec<(usize, u64)> = (0..rows).map(|row| order.locate(row)).collect();
            for source in 0..weights.len() {
                let indices: Vec<u64> = located.iter().filter(|row| row.0 == source).map(|row| row.1).collect();
                prop_assert!(indices.iter().copied().eq(0..indices.len() as u64));
                let expected = rows as f64 * weights[source] / sum;
                prop_assert!((indices.len() as f64 - expected).abs() <= weights.len() as f64 / 2.0 + 1.0);
            }
            let fresh = RowOrder::interleaved(weights);
            for row in [rows - 1, rows / 2, 0] {
                prop_assert_eq!(fresh.locate(row), located[row as usize]);
            }
        }
    }
}
