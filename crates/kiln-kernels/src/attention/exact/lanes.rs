//! The arithmetic of sixteen lanes: scores, weights, and sums of values. A lane is a pair of a query and a head.
//!
//! The vector code has no closures: they would be compiled without its instruction set. Every function does the same operations in each lane, in an order that doesn't depend on the number of lanes in use.

use crate::{
    cpu::vector::{exp, sigmoid, tanh},
    packed::f32x16::{F32x16, dispatch_simd},
};
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

/// Scores → weights exp(s − max) in place; returns the maxima. −∞ gives 0, and a lane of only −∞ has weights 0.
pub fn exponentials(scores: &mut [Lanes]) -> Lanes {
    let mut max = [f32::NEG_INFINITY; 16];
    for score in scores.iter() {
        for (max, score) in max.iter_mut().zip(score) {
            *max = if *score > *max { *score } else { *max };
        }
    }
    let shift = max.map(|max| if max == f32::NEG_INFINITY { 0.0 } else { max });
    subtract_and_exp(scores, &shift);
    max
}

/// exp(s − shift) in place.
fn subtract_and_exp(scores: &mut [Lanes], shift: &Lanes) {
    dispatch_simd!(subtract_and_exp_lanes::<>(scores: &mut [Lanes], shift: &Lanes))
}

#[inline(always)]
fn subtract_and_exp_lanes<S: F32x16>(scores: &mut [Lanes], shift: &Lanes) {
    for score in scores {
        for (score, shift) in score.iter_mut().zip(shift) {
            *score = exp(*score - shift);
        }
    }
}

/// Scores → weights σ(s + b) in place, b one of each lane. −∞ gives 0.
pub fn sigmoids(scores: &mut [Lanes], bias: &Lanes) {
    dispatch_simd!(sigmoid_lanes::<>(scores: &mut [Lanes], bias: &Lanes))
}

#[inline(always)]
fn sigmoid_lanes<S: F32x16>(scores: &mut [Lanes], bias: &Lanes) {
    for score in scores {
        for (score, bias) in score.iter_mut().zip(bias) {
            *score = if *score == f32::NEG_INFINITY { 0.0 } else { sigmoid(*score + bias) };
        }
    }
}

/// s → c tanh(s / c) in place.
pub fn softcap(scores: &mut [Lanes], cap: f32) {
    dispatch_simd!(softcap_lanes::<>(scores: &mut [Lanes], cap: f32))
}

#[inline(always)]
fn softcap_lanes<S: F32x16>(scores: &mut [Lanes], cap: f32) {
    for score in scores.as_flattened_mut() {
        *score = cap * tanh(*score / cap);
    }
}

/// Adds Σ_j w_j and Σ_j w_j v_j over the keys of one chunk to `total` and `out`: keys in their order from 0, then the chunk's sum
/// to the others. `out` has one entry for each dimension of a value.
pub fn add_chunk(weights: &[Lanes], values: &[&[f32]], total: &mut Lanes, out: &mut [Lanes]) {
    dispatch_simd!(add_chunk_lanes::<>(weights: &[Lanes], values: &[&[f32]], total: &mut Lanes, out: &mut [Lanes]))
}

#[inline(always)]
fn add_chunk_lanes<S: F32x16>(weights: &[Lanes], values: &[&[f32]], total: &mut Lanes, out: &mut [Lanes]) {
    let one = S::splat(1.0);
    let mut sum = S::splat(0.0);
    for weight in weights {
        sum = S::load(weight).mul_add(one, sum);
    }
    sum.mul_add(one, S::load(total)).store(total);
    let mut first = 0;
    if S::REGISTERS >= 32 {
        first = add_value_tiles::<S, 16>(first, weights, values, out);
    }
    first = add_value_tiles::<S, 4>(first, weights, values, out);
    add_value_tiles::<S, 1>(first, weights, values, out);
}

/// Sums of whole tiles of N dimensions, from dimension `first` on; returns the first that is left.
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
        for (weight, value) in weights.iter().zip(values) {
            let (weight, value) = (S::load(weight), &value[tile.clone()]);
            for (sum, value) in sums.iter_mut().zip(value) {
                *sum = S::splat(*value).mul_add(weight, *sum);
            }
        }
        for (sum, out) in sums.into_iter().zip(&mut out[tile]) {
            sum.mul_add(S::splat(1.0), S::load(out)).store(out);
        }
        first += N;
    }
    first
}
