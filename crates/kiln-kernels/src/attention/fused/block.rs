//! A block of queries against the tiles of keys that hold something for it: scores stand side by side, without the
//! tiles that are skipped.

use super::terms::Terms;
use crate::cpu::{
    matrix::{Matrix, MatrixMut},
    vector::vectorised,
};
use kiln_spec::plan::{Tile, Tiles};

vectorised! {
    /// Hides keys: their scores become −∞.
    fn hide(scores: &mut [f32], seen: &[bool]) {
        for (score, seen) in scores.iter_mut().zip(seen) {
            *score = if *seen { *score } else { f32::NEG_INFINITY };
        }
    }
}

/// Queries `first..first + count` of a row.
pub struct Block<'a> {
    tiles: &'a Tiles,
    held: &'a [Tile],
    /// The first query.
    pub first: usize,
    /// Queries in the block.
    pub count: usize,
    /// Keys in all tiles that hold something.
    pub width: usize,
}

/// Keys that stand side by side, in the row and among the scores.
#[derive(Clone, Copy)]
pub struct Run {
    /// Where its scores begin.
    pub column: usize,
    /// Its first key.
    pub first: usize,
    /// Keys in it.
    pub keys: usize,
}

impl<'a> Block<'a> {
    /// Block `number` of `queries` queries.
    pub fn new(tiles: &'a Tiles, number: usize, queries: usize) -> Self {
        let (first, held) = (number * tiles.size, tiles.block(number));
        let count = tiles.size.min(queries - first);
        Self { tiles, held, first, count, width: held.iter().map(|tile| tile.keys).sum() }
    }

    /// Tiles that touch, as one.
    pub fn runs(&self) -> impl Iterator<Item = Run> {
        let mut column = 0;
        self.held.chunk_by(|a, b| a.first + a.keys == b.first).map(move |run| {
            let keys = run.iter().map(|tile| tile.keys).sum();
            column += keys;
            Run { column: column - keys, first: run[0].first, keys }
        })
    }

    /// Scores of these queries and keys: scaled, biased, bent, and −∞ for keys that are not seen.
    pub fn scores(&self, scores: &mut [f32], query: Matrix, key: Matrix, terms: &Terms) {
        for run in self.runs() {
            let keys = key.rows(run.first, run.keys).transposed();
            MatrixMut::columns(scores, [self.count, run.keys], run.column, self.width).product(
                query,
                keys,
                terms.scale,
                false,
            );
        }
        for row in 0..self.count {
            let mut rest = &mut scores[row * self.width..(row + 1) * self.width];
            for tile in self.held {
                let cells;
                (cells, rest) = rest.split_at_mut(tile.keys);
                terms.apply(cells, self.first + row, tile.first);
                if let Some(seen) = self.tiles.seen(tile, row) {
                    hide(cells, seen);
                }
            }
        }
    }

    /// What the gradient of a row's scores, before the bend, adds to the gradient of the bias's table.
    pub fn table_gradient(&self, gradients: &[f32], row: usize, terms: &Terms, sum: &mut [f32]) {
        let mut column = 0;
        for tile in self.held {
            terms.table_gradient(&gradients[column..column + tile.keys], self.first + row, tile.first, sum);
            column += tile.keys;
        }
    }
}
