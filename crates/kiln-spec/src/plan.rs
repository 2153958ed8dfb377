//! Plans that follow from patterns and layouts: dense masks, tile plans, cache policies.
//!
//! [`dense_mask`] is the reference: tests compare every other evaluation of a [`Formula`] with it.

pub use crate::{
    cache_policy::CachePolicy,
    tiles::{Tile, TilePlan},
};

use crate::{
    formula::Formula,
    layout::{Layout, TokenMark},
};

/// Returns the dense attention mask `[queries, keys]`, row-major: true where query `i` attends to key `j`.
///
/// Evaluates the formula once for each pair, O(queries × keys).
pub fn dense_mask(formula: &Formula, queries: &[TokenMark], keys: &[TokenMark]) -> Vec<bool> {
    queries.iter().flat_map(|q| keys.iter().map(move |k| formula.evaluate(q, k))).collect()
}

/// Returns whether a layout is plainly causal: each query attends exactly to its own and all earlier positions of the row.
///
/// True if every row is one document of valid tokens in causal direction without padding; positions may start above 0.
/// Kernels then use their causal path without a mask.
pub fn is_plain_causal(layout: &Layout) -> bool {
    (0..layout.batch_size()).all(|row| {
        let marks = layout.row(row);
        marks.iter().enumerate().all(|(i, mark)| {
            mark.valid
                && !mark.prefix
                && mark.document == 0
                && mark.order == mark.position
                && mark.position == marks[0].position + i as i32
        })
    })
}
