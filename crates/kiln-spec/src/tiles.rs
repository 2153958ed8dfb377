//! The tile plan of a row: which tiles of queries × keys hold something, and who sees whom where one is mixed.

use crate::{
    formula::{Formula, TileCoverage},
    layout::{MarkRange, TokenMark},
};
use std::collections::HashMap;

/// A tile that holds something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tile {
    /// Its first key.
    pub first_key: usize,
    /// Keys in it.
    pub num_keys: usize,
    /// Where its table starts; absent if every query of the tile sees every key.
    mask_offset: Option<usize>,
}

/// What a kernel walks: for each block of queries of one row, the tiles of keys that it has to look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TilePlan {
    /// Tokens along a tile's side.
    pub tile_size: usize,
    /// Tiles along the keys.
    pub num_key_tiles: usize,
    /// Row after row of tiles, as far as marks alone tell.
    pub coverage: Vec<TileCoverage>,
    /// Positions of the queries.
    pub query_positions: Vec<i32>,
    /// Positions of the keys.
    pub key_positions: Vec<i32>,
    query_blocks: Vec<Vec<Tile>>,
    /// Tables of mixed tiles, equal ones once: row after row, true where the query sees the key.
    mask_tables: Vec<bool>,
}

impl TilePlan {
    /// Tiles of `size` × `size` for the queries and keys of one row.
    pub fn new(formula: &Formula, queries: &[TokenMark], keys: &[TokenMark], size: usize) -> Self {
        let mut fills = Vec::new();
        let spans: Vec<MarkRange> = keys.chunks(size.max(1)).map(MarkRange::from_marks).collect();
        let mut tiles = Self::build(queries.len(), keys.len(), size, |rows, columns, number, table| {
            let rows = &queries[rows];
            let fill = formula.tile_coverage(&MarkRange::from_marks(rows), &spans[number]);
            fills.push(fill);
            match fill {
                TileCoverage::Partial => {
                    rows.iter().for_each(|query| formula.evaluate_row(query, &keys[columns.clone()], table))
                }
                certain => table.resize(rows.len() * columns.len(), certain == TileCoverage::Full),
            }
        });
        let position = |mark: &TokenMark| mark.position;
        tiles.coverage = fills;
        tiles.query_positions = queries.iter().map(position).collect();
        tiles.key_positions = keys.iter().map(position).collect();
        tiles
    }

    /// The tiles of a dense table `[queries, keys]`, row-major, true where the query sees the key; no positions.
    pub fn from_dense(table: impl Fn(usize) -> bool, [queries, keys]: [usize; 2], size: usize) -> Self {
        Self::build(queries, keys, size, |rows, columns, _, found| {
            rows.for_each(|row| found.extend(columns.clone().map(|key| table(row * keys + key))));
        })
    }

    /// Asks for the table of each tile and keeps what is needed of it.
    fn build(
        queries: usize,
        keys: usize,
        size: usize,
        mut ask: impl FnMut(std::ops::Range<usize>, std::ops::Range<usize>, usize, &mut Vec<bool>),
    ) -> Self {
        let size = size.max(1);
        let columns = keys.div_ceil(size);
        let (mut tables, mut known) = (Vec::new(), HashMap::<Vec<bool>, usize>::new());
        let mut block = |first: usize| {
            let rows = first..queries.min(first + size);
            let mut tiles = Vec::new();
            for number in 0..columns {
                let span = number * size..keys.min((number + 1) * size);
                let mut table = Vec::with_capacity(rows.len() * span.len());
                ask(rows.clone(), span.clone(), number, &mut table);
                if !table.contains(&true) {
                    continue;
                }
                let at = table.contains(&false).then(|| {
                    *known.entry(table).or_insert_with_key(|table| {
                        tables.extend_from_slice(table);
                        tables.len() - table.len()
                    })
                });
                tiles.push(Tile { first_key: span.start, num_keys: span.len(), mask_offset: at });
            }
            tiles
        };
        let blocks = (0..queries).step_by(size).map(&mut block).collect();
        Self {
            tile_size: size,
            num_key_tiles: columns,
            coverage: Vec::new(),
            query_positions: Vec::new(),
            key_positions: Vec::new(),
            query_blocks: blocks,
            mask_tables: tables,
        }
    }

    /// Tiles that block `number` of the queries looks at, in the order of the keys.
    pub fn tiles_of_block(&self, number: usize) -> &[Tile] {
        &self.query_blocks[number]
    }

    /// Which keys of a tile the block's query `row` sees; `None`: all of them.
    pub fn visible_keys(&self, tile: &Tile, row: usize) -> Option<&[bool]> {
        tile.mask_offset.map(|at| &self.mask_tables[at + row * tile.num_keys..at + (row + 1) * tile.num_keys])
    }

    /// Share of tiles that hold nothing to compute.
    pub fn empty_fraction(&self) -> f64 {
        let all = self.query_blocks.len() * self.num_key_tiles;
        let held: usize = self.query_blocks.iter().map(Vec::len).sum();
        (all - held) as f64 / all.max(1) as f64
    }
}
