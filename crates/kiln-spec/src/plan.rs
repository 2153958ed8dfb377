//! What follows from a pattern and a layout before anything is computed: tiles to skip, keys to keep.

pub use crate::{
    cache_policy::CachePolicy,
    tiles::{Tile, TilePlan},
};

use crate::{
    formula::Formula,
    layout::{Layout, TokenMark},
};

/// The dense table of a row: `true` where query `i` sees key `j`, row-major. The oracle of every other reading.
pub fn dense_mask(formula: &Formula, queries: &[TokenMark], keys: &[TokenMark]) -> Vec<bool> {
    queries.iter().flat_map(|q| keys.iter().map(move |k| formula.evaluate(q, k))).collect()
}

/// Whether every query of a layout sees exactly the keys before it and itself: what kernels call causal.
pub fn is_plain_causal(layout: &Layout) -> bool {
    (0..layout.batch_size()).all(|r| {
        layout.row(r).iter().enumerate().all(|(i, m)| {
            m.valid
                && !m.prefix
                && m.document == 0
                && m.order == m.position
                && m.position == layout.row(r)[0].position + i as i32
        })
    })
}
