//! What follows from a pattern and a layout before anything is computed: tiles to skip, keys to keep.

use crate::{
    formula::{Fill, Formula},
    layout::{Layout, Mark, Span},
};

pub use crate::keep::Keep;

/// Fill of every tile of queries × keys of one row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tiles {
    /// Tokens along a tile's side.
    pub size: usize,
    /// Tiles along the keys.
    pub columns: usize,
    /// Row after row of tiles.
    pub fills: Vec<Fill>,
}

impl Tiles {
    /// Tiles of `size` × `size` for the queries and keys of one row.
    pub fn new(formula: &Formula, queries: &[Mark], keys: &[Mark], size: usize) -> Self {
        let size = size.max(1);
        let keys: Vec<Span> = keys.chunks(size).map(Span::of).collect();
        let queries = queries.chunks(size).map(Span::of);
        let fills = queries.flat_map(|q| keys.iter().map(move |k| formula.fill(&q, k))).collect();
        Self { size, columns: keys.len(), fills }
    }

    /// Share of tiles that hold nothing to compute.
    pub fn empty(&self) -> f64 {
        let empty = self.fills.iter().filter(|f| **f == Fill::Empty).count();
        empty as f64 / self.fills.len().max(1) as f64
    }
}

/// The dense table of a row: `true` where query `i` sees key `j`, row-major. The oracle of every other reading.
pub fn dense(formula: &Formula, queries: &[Mark], keys: &[Mark]) -> Vec<bool> {
    queries.iter().flat_map(|q| keys.iter().map(move |k| formula.holds(q, k))).collect()
}

/// Whether every query of a layout sees exactly the keys before it and itself: what kernels call causal.
pub fn is_plain_causal(layout: &Layout) -> bool {
    (0..layout.rows()).all(|r| {
        layout.row(r).iter().enumerate().all(|(i, m)| {
            m.live
                && !m.prefix
                && m.document == 0
                && m.order == m.position
                && m.position == layout.row(r)[0].position + i as i32
        })
    })
}
