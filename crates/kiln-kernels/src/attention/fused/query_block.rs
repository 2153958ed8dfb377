//! A block of queries against the tiles of keys that hold something for it: scores stand side by side, without the
//! tiles that are skipped.

use super::score_terms::ScoreTerms;
use crate::cpu::{
    matrix::{MatrixMut, MatrixRef},
    vector::vectorized,
};
use kiln_spec::plan::{Tile, TilePlan};

vectorized! {
    /// Hides keys: their scores become −∞.
    fn apply_mask(scores: &mut [f32], seen: &[bool]) {
        for (score, seen) in scores.iter_mut().zip(seen) {
            *score = if *seen { *score } else { f32::NEG_INFINITY };
        }
    }
}

/// Queries `first..first + count` of a row.
pub struct QueryBlock<'a> {
    tiles: &'a TilePlan,
    nonempty_tiles: &'a [Tile],
    /// The first query.
    pub first_query: usize,
    /// Queries in the block.
    pub num_queries: usize,
    /// Keys in all tiles that hold something.
    pub num_keys: usize,
}

/// Keys that stand side by side, in the row and among the scores.
#[derive(Clone, Copy)]
pub struct KeyRun {
    /// Where its scores begin.
    pub score_column: usize,
    /// Its first key.
    pub first_key: usize,
    /// Keys in it.
    pub num_keys: usize,
}

impl<'a> QueryBlock<'a> {
    /// Block `number` of `queries` queries.
    pub fn new(tiles: &'a TilePlan, number: usize, queries: usize) -> Self {
        let (first, held) = (number * tiles.tile_size, tiles.tiles_of_block(number));
        let count = tiles.tile_size.min(queries - first);
        Self {
            tiles,
            nonempty_tiles: held,
            first_query: first,
            num_queries: count,
            num_keys: held.iter().map(|tile| tile.num_keys).sum(),
        }
    }

    /// Tiles that touch, as one.
    pub fn key_runs(&self) -> impl Iterator<Item = KeyRun> {
        let mut column = 0;
        self.nonempty_tiles.chunk_by(|a, b| a.first_key + a.num_keys == b.first_key).map(move |run| {
            let keys = run.iter().map(|tile| tile.num_keys).sum();
            column += keys;
            KeyRun { score_column: column - keys, first_key: run[0].first_key, num_keys: keys }
        })
    }

    /// Scores of these queries and keys: scaled, biased, bent, and −∞ for keys that are not seen.
    pub fn scores(&self, scores: &mut [f32], query: MatrixRef, key: MatrixRef, terms: &ScoreTerms) {
        for run in self.key_runs() {
            let keys = key.rows(run.first_key, run.num_keys).transposed();
            MatrixMut::columns(scores, [self.num_queries, run.num_keys], run.score_column, self.num_keys).gemm(
                query,
                keys,
                terms.scale,
                false,
            );
        }
        for row in 0..self.num_queries {
            let mut rest = &mut scores[row * self.num_keys..(row + 1) * self.num_keys];
            for tile in self.nonempty_tiles {
                let cells;
                (cells, rest) = rest.split_at_mut(tile.num_keys);
                terms.apply(cells, self.first_query + row, tile.first_key);
                if let Some(seen) = self.tiles.visible_keys(tile, row) {
                    apply_mask(cells, seen);
                }
            }
        }
    }

    /// What the gradient of a row's scores, before the bend, adds to the gradient of the bias's table.
    pub fn add_table_gradient(&self, gradients: &[f32], row: usize, terms: &ScoreTerms, sum: &mut [f32]) {
        let mut column = 0;
        for tile in self.nonempty_tiles {
            terms.add_table_gradient(
                &gradients[column..column + tile.num_keys],
                self.first_query + row,
                tile.first_key,
                sum,
            );
            column += tile.num_keys;
        }
    }
}
