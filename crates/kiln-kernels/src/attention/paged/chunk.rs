//! Attention of the queries of one key-value head over one chunk of pages.
//!
//! Order of sums, the same for any batch, number of threads and length of the row:
//!
//! * a score: 16 lanes over the width, in ascending order, then a tree over the lanes;
//! * the sum of exponentials: 16 lanes over the chunk's keys, then the lanes in ascending order;
//! * an output value: the chunk's keys in ascending order.
//!
//! Multiply and add are fused on machines with AVX2 and AVX-512 (one rounding) and separate elsewhere.

use super::page::{HalfBytes, LANES, PageValue};
use crate::{
    attention::score::TileScore,
    cpu::vector::{exp, max, sum},
    packed::f32x16::{F32x16, dispatch_simd},
};
use kiln_spec::pages::PAGE_SIZE;

/// Rows of one head of one cached tensor: `[PAGE_SIZE, stride]` of each page.
#[derive(Clone, Copy)]
pub struct HeadSlice {
    /// Index of the first value within a page.
    pub start: usize,
    /// Values from one row to the next, a multiple of [`LANES`].
    pub stride: usize,
}

/// A page that the query sees in part or as a whole.
pub struct ChunkPage<'a, E> {
    /// All values of the page.
    pub values: &'a [E],
    /// Keys that the query sees, one bit for each slot. Not 0.
    pub visible: u64,
    /// Bias of each query and slot, `[R, PAGE_SIZE]`; empty without a bias.
    pub bias: Vec<f32>,
}

/// Input of one task: R queries that share a key-value head, over the pages of a chunk.
pub struct Chunk<'a, E> {
    /// Queries times the scale, `[R, Σ key strides]`: the parts of a key one after the other, each padded with zeros.
    pub queries: &'a [f32],
    /// Number of queries R.
    pub num_queries: usize,
    /// Parts that a key is made of.
    pub keys: &'a [HeadSlice],
    /// Values.
    pub value: HeadSlice,
    /// The score function, a softmax: its transformation of scores.
    pub score: &'a dyn TileScore,
    /// Pages with a visible key, in ascending order.
    pub pages: Vec<ChunkPage<'a, E>>,
}

/// Result over one chunk, to be merged with those of other chunks.
#[derive(Default)]
pub struct Partial {
    /// Σ_j exp(s_j − m) v_j for each query, `[R, value stride]`.
    pub out: Vec<f32>,
    /// Greatest score m of each query.
    pub max: Vec<f32>,
    /// Σ_j exp(s_j − m) of each query.
    pub total: Vec<f32>,
}

/// Computes the partial result of a chunk of 32-bit pages, at least one.
pub fn attend_f32(chunk: &Chunk<f32>, partial: &mut Partial) {
    dispatch_simd!(run::<f32>(chunk: &Chunk<f32>, partial: &mut Partial))
}

/// Computes the partial result of a chunk of 16-bit pages, at least one.
pub fn attend_f16(chunk: &Chunk<HalfBytes>, partial: &mut Partial) {
    dispatch_simd!(run::<HalfBytes>(chunk: &Chunk<HalfBytes>, partial: &mut Partial))
}

#[inline(always)]
fn run<E: PageValue, S: F32x16>(chunk: &Chunk<E>, partial: &mut Partial) {
    let (r, columns) = (chunk.num_queries, chunk.pages.len() * PAGE_SIZE);
    let mut scores = vec![0.0f32; r * columns];
    for (i, page) in chunk.pages.iter().enumerate() {
        page_scores::<E, S>(chunk, page, &mut scores, i * PAGE_SIZE, columns);
    }
    partial.max.resize(r, f32::NEG_INFINITY);
    partial.total.resize(r, 0.0);
    for (query, scores) in scores.chunks_exact_mut(columns).enumerate() {
        let greatest = max(scores);
        scores.iter_mut().for_each(|score| *score = exp(*score - greatest));
        partial.max[query] = greatest;
        partial.total[query] = sum(columns, |i| scores[i]);
    }
    partial.out.resize(r * chunk.value.stride, 0.0);
    for (i, page) in chunk.pages.iter().enumerate() {
        // Slots behind the last visible key are left out: they may never have been written by this row.
        let count = PAGE_SIZE - page.visible.leading_zeros() as usize;
        let values = &page.values[chunk.value.start..][..count * chunk.value.stride];
        let (mut query, weights) = (0, &scores[i * PAGE_SIZE..]);
        while query + 2 <= r {
            let out = &mut partial.out[query * chunk.value.stride..];
            add_values::<E, S, 2>(&weights[query * columns..], columns, values, chunk.value.stride, out);
            query += 2;
        }
        if query < r {
            let out = &mut partial.out[query * chunk.value.stride..];
            add_values::<E, S, 1>(&weights[query * columns..], columns, values, chunk.value.stride, out);
        }
    }
}

/// Scores of one page: products with all parts of the keys, bias, transformation, −∞ for hidden keys. Query q's scores start at
/// `scores[q · columns + column]`.
#[inline(always)]
fn page_scores<E: PageValue, S: F32x16>(
    chunk: &Chunk<E>,
    page: &ChunkPage<E>,
    scores: &mut [f32],
    column: usize,
    columns: usize,
) {
    let width: usize = chunk.keys.iter().map(|part| part.stride).sum();
    let mut first = 0;
    for part in chunk.keys {
        let keys = &page.values[part.start..][..PAGE_SIZE * part.stride];
        let mut query = 0;
        let out = |query: usize| query * columns + column;
        while query + 2 <= chunk.num_queries {
            let queries = [0, 1].map(|i| &chunk.queries[(query + i) * width + first..][..part.stride]);
            add_products::<E, S, 2>(queries, keys, &mut scores[out(query)..], columns);
            query += 2;
        }
        if query < chunk.num_queries {
            let queries = [&chunk.queries[query * width + first..][..part.stride]];
            add_products::<E, S, 1>(queries, keys, &mut scores[out(query)..], columns);
        }
        first += part.stride;
    }
    for query in 0..chunk.num_queries {
        let scores = &mut scores[query * columns + column..][..PAGE_SIZE];
        if !page.bias.is_empty() {
            let bias = &page.bias[query * PAGE_SIZE..][..PAGE_SIZE];
            scores.iter_mut().zip(bias).for_each(|(score, bias)| *score += bias);
        }
        chunk.score.transform(scores);
        if page.visible != u64::MAX {
            for (slot, score) in scores.iter_mut().enumerate() {
                *score = if page.visible >> slot & 1 == 1 { *score } else { f32::NEG_INFINITY };
            }
        }
    }
}

/// Adds q · k to the scores of N queries and all slots of a page. Four keys at a time: with N = 2 eight accumulators hide
/// the latency of the multiply–add, and each loaded value is used more than once.
#[inline(always)]
fn add_products<E: PageValue, S: F32x16, const N: usize>(
    queries: [&[f32]; N],
    keys: &[E],
    scores: &mut [f32],
    columns: usize,
) {
    const KEYS: usize = 4;
    let queries = queries.map(|query| query.as_chunks::<LANES>().0);
    let blocks = queries[0].len();
    let (keys, _) = keys.as_chunks::<LANES>();
    for (block, keys) in keys.chunks_exact(KEYS * blocks).enumerate() {
        let mut sums = [[S::splat(0.0); KEYS]; N];
        for i in 0..blocks {
            let key: [S; KEYS] = std::array::from_fn(|k| E::load16(&keys[k * blocks + i]));
            for (sums, query) in sums.iter_mut().zip(&queries) {
                let query = S::load(&query[i]);
                for (sum, key) in sums.iter_mut().zip(key) {
                    *sum = key.mul_add(query, *sum);
                }
            }
        }
        for (query, sums) in sums.iter().enumerate() {
            for (k, sum) in sums.iter().enumerate() {
                scores[query * columns + block * KEYS + k] += sum.sum();
            }
        }
    }
}

/// Adds Σ_j p_j v_j to the outputs `[N, stride]` of N queries, over the rows of `values`. Query q's weights start at
/// `weights[q · columns]`.
#[inline(always)]
fn add_values<E: PageValue, S: F32x16, const N: usize>(
    weights: &[f32],
    columns: usize,
    values: &[E],
    stride: usize,
    out: &mut [f32],
) {
    let mut first = 0;
    while first + 4 * LANES <= stride {
        add_value_columns::<E, S, N, 4>(weights, columns, values, [stride, first], out);
        first += 4 * LANES;
    }
    while first < stride {
        add_value_columns::<E, S, N, 1>(weights, columns, values, [stride, first], out);
        first += LANES;
    }
}

/// [`add_values`] for M · [`LANES`] columns from column `first` on, whose sums stay in registers.
#[inline(always)]
fn add_value_columns<E: PageValue, S: F32x16, const N: usize, const M: usize>(
    weights: &[f32],
    columns: usize,
    values: &[E],
    [stride, first]: [usize; 2],
    out: &mut [f32],
) {
    let mut sums = [[S::splat(0.0); M]; N];
    for (query, sums) in sums.iter_mut().enumerate() {
        let (out, _) = out[query * stride + first..][..M * LANES].as_chunks::<LANES>();
        for (sum, out) in sums.iter_mut().zip(out) {
            *sum = S::load(out);
        }
    }
    for (j, row) in values.chunks_exact(stride).enumerate() {
        let (row, _) = row[first..first + M * LANES].as_chunks::<LANES>();
        let value: [S; M] = std::array::from_fn(|m| E::load16(&row[m]));
        for (query, sums) in sums.iter_mut().enumerate() {
            let weight = S::splat(weights[query * columns + j]);
            for (sum, value) in sums.iter_mut().zip(value) {
                *sum = value.mul_add(weight, *sum);
            }
        }
    }
    for (query, sums) in sums.into_iter().enumerate() {
        let (out, _) = out[query * stride + first..][..M * LANES].as_chunks_mut::<LANES>();
        for (sum, out) in sums.into_iter().zip(out) {
            sum.store(out);
        }
    }
}
