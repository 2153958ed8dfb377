//! The arithmetic of sixteen lanes: products of queries and keys, and sums of values. A lane is a pair of a query and a head.
//!
//! The vector code has no closures: they would be compiled without its instruction set. Every function does the same operations in each lane, in an order that doesn't depend on the number of lanes in use.

use crate::packed::f32x16::{F32x16, dispatch_simd};
use std::ops::Range;

/// One value of each lane.
pub type Lanes = [f32; 16];

/// Scores `[keys]` of all lanes: Σ_d k_d q_d, d ascending. `query` has one entry for each dimension, `keys` one row for each
/// key.
pub fn dot_products(query: &[Lanes], keys: &[&[f32]], scores: &mut [Lanes]) {
    dispatch_simd!(all_dot_products::<>(query: &[Lanes], keys: &[&[f32]], scores: &mut [Lanes]))
}

#[inline(always)]
fn all_dot_products<S: F32x16>(query: &[Lanes], keys: &[&[f32]], scores: &mut [Lanes]) {
    let mut first = 0;
    if S::REGISTERS >= 32 {
        first = dot_tiles::<S, 12>(first, query, keys, scores);
    }
    first = dot_tiles::<S, 4>(first, query, keys, scores);
    dot_tiles::<S, 1>(first, query, keys, scores);
}

/// Scores of whole tiles of N keys, from key `first` on; returns the first key that is left.
#[inline(always)]
fn dot_tiles<S: F32x16, const N: usize>(
    mut first: usize,
    query: &[Lanes],
    keys: &[&[f32]],
    scores: &mut [Lanes],
) -> usize {
    while first + N <= keys.len() {
        let mut rows = [&[][..]; N];
        for (row, key) in rows.iter_mut().zip(&keys[first..]) {
            *row = &key[..query.len()];
        }
        let mut sums = [S::splat(0.0); N];
        for (d, query) in query.iter().enumerate() {
            let query = S::load(query);
            for (sum, row) in sums.iter_mut().zip(&rows) {
                *sum = S::splat(row[d]).mul_add(query, *sum);
            }
        }
        for (sum, score) in sums.into_iter().zip(&mut scores[first..]) {
            sum.store(score);
        }
        first += N;
    }
    first
}

/// Keys whose values are read before the next ones: they stay in the cache from one tile of dimensions to the next.
const KEYS_AT_ONCE: usize = 128;

/// Adds Σ_j w_j v_j over the keys to `out`, in the order of the keys. `out` has one entry for each dimension of a value.
pub fn add_values(weights: &[Lanes], values: &[&[f32]], out: &mut [Lanes]) {
    for (weights, values) in weights.chunks(KEYS_AT_ONCE).zip(values.chunks(KEYS_AT_ONCE)) {
        add_some_values(weights, values, out);
    }
}

/// [`add_values`] of keys whose values fit into the cache.
fn add_some_values(weights: &[Lanes], values: &[&[f32]], out: &mut [Lanes]) {
    dispatch_simd!(add_value_lanes::<>(weights: &[Lanes], values: &[&[f32]], out: &mut [Lanes]))
}

#[inline(always)]
fn add_value_lanes<S: F32x16>(weights: &[Lanes], values: &[&[f32]], out: &mut [Lanes]) {
    let mut first = 0;
    if S::REGISTERS >= 32 {
        first = add_value_tiles::<S, 16>(first, weights, values, out);
    }
    first = add_value_tiles::<S, 4>(first, weights, values, out);
    add_value_tiles::<S, 1>(first, weights, values, out);
}

/// Sums of whole tiles of N dimensions, from dimension `first` on; returns the first that is left. The accumulators go on from
/// `out`: one chain of additions over all keys.
#[inline(always)]
fn add_value_tiles<S: F32x16, const N: usize>(
    mut first: usize,
    weights: &[Lanes],
    values: &[&[f32]],
    out: &mut [Lanes],
) -> usize {
    while first + N <= out.len() {
        let tile: Range<usize> = first..first + N;
        let mut sums = [S::splat(0.0); N];
        for (sum, out) in sums.iter_mut().zip(&out[tile.clone()]) {
            *sum = S::load(out);
        }
        for (weight, value) in weights.iter().zip(values) {
            let (weight, value) = (S::load(weight), &value[tile.clone()]);
            for (sum, value) in sums.iter_mut().zip(value) {
                *sum = S::splat(*value).mul_add(weight, *sum);
            }
        }
        for (sum, out) in sums.into_iter().zip(&mut out[tile]) {
            sum.store(out);
        }
        first += N;
    }
    first
}
