//! The tile plan of a row: which tiles of queries × keys hold something, and who sees whom where one is mixed.

use crate::{
    formula::{Fill, Formula},
    layout::{Mark, Span},
};
use std::collections::HashMap;

/// A tile that holds something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tile {
    /// Its first key.
    pub first: usize,
    /// Keys in it.
    pub keys: usize,
    /// Where its table starts; absent if every query of the tile sees every key.
    table: Option<usize>,
}

/// What a kernel walks: for each block of queries of one row, the tiles of keys that it has to look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tiles {
    /// Tokens along a tile's side.
    pub size: usize,
    /// Tiles along the keys.
    pub columns: usize,
    /// Row after row of tiles, as far as marks alone tell.
    pub fills: Vec<Fill>,
    /// Positions of the queries.
    pub queries: Vec<i32>,
    /// Positions of the keys.
    pub keys: Vec<i32>,
    blocks: Vec<Vec<Tile>>,
    /// Tables of mixed tiles, equal ones once: row after row, true where the query sees the key.
    tables: Vec<bool>,
}

impl Tiles {
    /// Tiles of `size` × `size` for the queries and keys of one row.
    pub fn new(formula: &Formula, queries: &[Mark], keys: &[Mark], size: usize) -> Self {
        let mut fills = Vec::new();
        let spans: Vec<Span> = keys.chunks(size.max(1)).map(Span::of).collect();
        let mut tiles = Self::walk(queries.len(), keys.len(), size, |rows, columns, number, table| {
            let rows = &queries[rows];
            let fill = formula.fill(&Span::of(rows), &spans[number]);
            fills.push(fill);
            match fill {
                Fill::Partial => rows.iter().for_each(|query| formula.row(query, &keys[columns.clone()], table)),
                certain => table.resize(rows.len() * columns.len(), certain == Fill::Full),
            }
        });
        let position = |mark: &Mark| mark.position;
        tiles.fills = fills;
        tiles.queries = queries.iter().map(position).collect();
        tiles.keys = keys.iter().map(position).collect();
        tiles
    }

    /// The tiles of a dense table `[queries, keys]`, row-major, true where the query sees the key; no positions.
    pub fn of_table(table: impl Fn(usize) -> bool, [queries, keys]: [usize; 2], size: usize) -> Self {
        Self::walk(queries, keys, size, |rows, columns, _, found| {
            rows.for_each(|row| found.extend(columns.clone().map(|key| table(row * keys + key))));
        })
    }

    /// Asks for the table of each tile and keeps what is needed of it.
    fn walk(
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
                tiles.push(Tile { first: span.start, keys: span.len(), table: at });
            }
            tiles
        };
        let blocks = (0..queries).step_by(size).map(&mut block).collect();
        Self { size, columns, fills: Vec::new(), queries: Vec::new(), keys: Vec::new(), blocks, tables }
    }

    /// Tiles that block `number` of the queries looks at, in the order of the keys.
    pub fn block(&self, number: usize) -> &[Tile] {
        &self.blocks[number]
    }

    /// Which keys of a tile the block's query `row` sees; `None`: all of them.
    pub fn seen(&self, tile: &Tile, row: usize) -> Option<&[bool]> {
        tile.table.map(|at| &self.tables[at + row * tile.keys..at + (row + 1) * tile.keys])
    }

    /// Share of tiles that hold nothing to compute.
    pub fn empty(&self) -> f64 {
        let all = self.blocks.len() * self.columns;
        let held: usize = self.blocks.iter().map(Vec::len).sum();
        (all - held) as f64 / all.max(1) as f64
    }
}
