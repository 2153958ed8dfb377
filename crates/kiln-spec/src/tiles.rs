//! Tile plan: which tiles of queries × keys an attention kernel computes, and the masks of partial tiles.
//!
//! Queries and keys of a row are divided into blocks of [`TilePlan::tile_size`] tokens. For each tile the coverage is
//! computed by interval arithmetic first ([`Formula::tile_coverage`]); only tiles that may be partial are evaluated pair by
//! pair. Empty tiles are dropped, full tiles need no mask, and equal masks are stored once: in a causal plan all tiles on
//! the diagonal share one mask.

use crate::{
    formula::{Formula, TileCoverage},
    layout::{MarkRange, TokenMark},
};
use std::{collections::HashMap, ops::Range};

/// Tile with at least one visible pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tile {
    /// Index of the first key.
    pub first_key: usize,
    /// Number of keys: the tile size, or less at the end of the row.
    pub num_keys: usize,
    /// Start of the mask in [`TilePlan::mask_tables`]; `None` if all pairs are visible.
    mask_offset: Option<usize>,
}

/// Tiles of one row of a batch, grouped by blocks of queries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TilePlan {
    /// Queries and keys per tile.
    pub tile_size: usize,
    /// Number of blocks of keys.
    pub num_key_tiles: usize,
    /// Coverage of each tile by interval arithmetic, row-major over blocks of queries and keys. Empty for a plan from a
    /// dense mask.
    pub coverage: Vec<TileCoverage>,
    /// Positions of the queries, for distance-dependent biases. Empty for a plan from a dense mask.
    pub query_positions: Vec<i32>,
    /// Positions of the keys. Empty for a plan from a dense mask.
    pub key_positions: Vec<i32>,
    /// Non-empty tiles of each block of queries, in key order.
    query_blocks: Vec<Vec<Tile>>,
    /// Distinct masks of partial tiles, one after the other; each is row-major, true for visible pairs.
    mask_tables: Vec<bool>,
}

/// Tile whose mask is needed.
struct TileRequest {
    queries: Range<usize>,
    keys: Range<usize>,
    /// Index of the block of keys.
    key_block: usize,
}

impl TilePlan {
    /// Creates the plan of a formula for the queries and keys of one row, with tiles of `tile_size` × `tile_size`.
    pub fn new(formula: &Formula, queries: &[TokenMark], keys: &[TokenMark], tile_size: usize) -> Self {
        let mut coverage = Vec::new();
        let key_ranges: Vec<MarkRange> = keys.chunks(tile_size.max(1)).map(MarkRange::from_marks).collect();
        let mut plan = Self::build([queries.len(), keys.len()], tile_size, |tile, mask| {
            let queries = &queries[tile.queries];
            let tile_coverage = formula.tile_coverage(&MarkRange::from_marks(queries), &key_ranges[tile.key_block]);
            coverage.push(tile_coverage);
            match tile_coverage {
                TileCoverage::Partial => {
                    queries.iter().for_each(|query| formula.evaluate_row(query, &keys[tile.keys.clone()], mask))
                }
                certain => mask.resize(queries.len() * tile.keys.len(), certain == TileCoverage::Full),
            }
        });
        plan.coverage = coverage;
        plan.query_positions = queries.iter().map(|mark| mark.position).collect();
        plan.key_positions = keys.iter().map(|mark| mark.position).collect();
        plan
    }

    /// Creates the plan of a dense mask `[queries, keys]`: `is_visible` returns the value at a row-major index.
    ///
    /// Reads every value. The plan has no positions and no [`coverage`](Self::coverage).
    pub fn from_dense(
        is_visible: impl Fn(usize) -> bool,
        [num_queries, num_keys]: [usize; 2],
        tile_size: usize,
    ) -> Self {
        Self::build([num_queries, num_keys], tile_size, |tile, mask| {
            for query in tile.queries {
                mask.extend(tile.keys.clone().map(|key| is_visible(query * num_keys + key)));
            }
        })
    }

    /// Builds a plan from the masks of all tiles. `fill_mask` appends the mask of a tile; it is called once for each tile,
    /// row-major.
    fn build(
        [num_queries, num_keys]: [usize; 2],
        tile_size: usize,
        mut fill_mask: impl FnMut(TileRequest, &mut Vec<bool>),
    ) -> Self {
        let tile_size = tile_size.max(1);
        let num_key_tiles = num_keys.div_ceil(tile_size);
        let mut masks = MaskTables::default();
        let mut query_blocks = Vec::with_capacity(num_queries.div_ceil(tile_size));
        for first_query in (0..num_queries).step_by(tile_size) {
            let queries = first_query..num_queries.min(first_query + tile_size);
            let mut tiles = Vec::new();
            for key_block in 0..num_key_tiles {
                let keys = key_block * tile_size..num_keys.min((key_block + 1) * tile_size);
                let mut mask = Vec::with_capacity(queries.len() * keys.len());
                fill_mask(TileRequest { queries: queries.clone(), keys: keys.clone(), key_block }, &mut mask);
                if mask.contains(&true) {
                    let mask_offset = mask.contains(&false).then(|| masks.insert(mask));
                    tiles.push(Tile { first_key: keys.start, num_keys: keys.len(), mask_offset });
                }
            }
            query_blocks.push(tiles);
        }
        Self {
            tile_size,
            num_key_tiles,
            coverage: Vec::new(),
            query_positions: Vec::new(),
            key_positions: Vec::new(),
            query_blocks,
            mask_tables: masks.tables,
        }
    }

    /// Returns the non-empty tiles of a block of queries, in key order.
    pub fn tiles_of_block(&self, block: usize) -> &[Tile] {
        &self.query_blocks[block]
    }

    /// Returns which keys of a tile the query with index `row` within the block attends to; `None` if all.
    pub fn visible_keys(&self, tile: &Tile, row: usize) -> Option<&[bool]> {
        let start = tile.mask_offset? + row * tile.num_keys;
        Some(&self.mask_tables[start..start + tile.num_keys])
    }

    /// Returns the fraction of tiles that are empty, in [0, 1].
    pub fn empty_fraction(&self) -> f64 {
        let num_tiles = self.query_blocks.len() * self.num_key_tiles;
        let num_non_empty: usize = self.query_blocks.iter().map(Vec::len).sum();
        (num_tiles - num_non_empty) as f64 / num_tiles.max(1) as f64
    }
}

/// Masks without duplicates.
#[derive(Default)]
struct MaskTables {
    tables: Vec<bool>,
    offsets: HashMap<Vec<bool>, usize>,
}

impl MaskTables {
    /// Offset of a mask in `tables`; a new mask is appended.
    fn insert(&mut self, mask: Vec<bool>) -> usize {
        let tables = &mut self.tables;
        *self.offsets.entry(mask).or_insert_with_key(|mask| {
            tables.extend_from_slice(mask);
            tables.len() - mask.len()
        })
    }
}
