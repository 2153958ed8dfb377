//! What follows from a pattern and a layout before anything is computed: tiles to skip, keys to keep.

pub use crate::{
    keep::Keep,
    tiles::{Tile, Tiles},
};

use crate::{
    formula::Formula,
    layout::{Layout, Mark},
};

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
