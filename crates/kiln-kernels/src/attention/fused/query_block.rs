//! Block of queries with the tiles of keys that it sees. Scores of visible tiles are adjacent in memory; hidden tiles have
//! none.

use super::score_terms::ScoreTerms;
use crate::cpu::{
    matrix::{MatrixMut, MatrixRef},
    vector::vectorized,
};
use kiln_spec::plan::{Tile, TilePlan};

vectorized! {
    /// Sets the scores of hidden keys to −∞.
    fn apply_mask(scores: &mut [f32], visible: &[bool]) {
        for (score, visible) in scores.iter_mut().zip(visible) {
            *score = if *visible { *score } else { f32::NEG_INFINITY };
        }
    }
}

/// Queries `first_query..first_query + num_queries` of a sequence, at most [`TilePlan::tile_size`] of them.
pub struct QueryBlock<'a> {
    tiles: &'a TilePlan,
    /// Tiles with at least one visible pair, in the order of the keys.
    visible_tiles: &'a [Tile],
    /// First query of the block.
    pub first_query: usize,
    /// Number of queries in the block.
    pub num_queries: usize,
    /// Number of keys in all visible tiles: the width of the block's scores.
    pub num_keys: usize,
}

/// Run of adjacent visible tiles: its keys are adjacent in the sequence and among the scores, so one product covers them.
#[derive(Clone, Copy)]
pub struct KeyRun {
    /// First column of its scores.
    pub score_column: usize,
    /// First key in the sequence.
    pub first_key: usize,
    /// Number of keys.
    pub num_keys: usize,
}

impl<'a> QueryBlock<'a> {
    /// Returns block `number` of a sequence of `queries` queries. The last block may be smaller.
    pub fn new(tiles: &'a TilePlan, number: usize, queries: usize) -> Self {
        let first_query = number * tiles.tile_size;
        let visible_tiles = tiles.tiles_of_block(number);
        Self {
            tiles,
            visible_tiles,
            first_query,
            num_queries: tiles.tile_size.min(queries - first_query),
            num_keys: visible_tiles.iter().map(|tile| tile.num_keys).sum(),
        }
    }

    /// Returns the runs of adjacent visible tiles, in the order of the keys. Causal attention has one run a block.
    pub fn key_runs(&self) -> impl Iterator<Item = KeyRun> {
        let mut column = 0;
        self.visible_tiles.chunk_by(|a, b| a.first_key + a.num_keys == b.first_key).map(move |run| {
            let keys = run.iter().map(|tile| tile.num_keys).sum();
            column += keys;
            KeyRun { score_column: column - keys, first_key: run[0].first_key, num_keys: keys }
        })
    }

    /// Computes the scores `[num_queries, num_keys]` of the block: scaled products, bias, transformation, −∞ for hidden keys.
    ///
    /// `query` holds the block's queries, `key` all keys of the sequence.
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
            for tile in self.visible_tiles {
                let cells;
                (cells, rest) = rest.split_at_mut(tile.num_keys);
                terms.apply(cells, self.first_query + row, tile.first_key);
                if let Some(visible) = self.tiles.visible_keys(tile, row) {
                    apply_mask(cells, visible);
                }
            }
        }
    }

    /// Adds the contribution of a row to the gradient of the bias's parameters. `gradients` are those of the row's scores
    /// before the transformation.
    pub fn add_parameter_gradient(&self, gradients: &[f32], row: usize, terms: &ScoreTerms, sum: &mut [f32]) {
        if !terms.needs_bias_gradient {
            return;
        }
        let mut column = 0;
        for tile in self.visible_tiles {
            let cells = &gradients[column..column + tile.num_keys];
            terms.add_parameter_gradient(cells, self.first_query + row, tile.first_key, sum);
            column += tile.num_keys;
        }
    }
}
