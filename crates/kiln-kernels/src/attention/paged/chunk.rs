//! Attention of the queries of one key-value head over one chunk of pages.
//!
//! Order of sums, the same for any batch, number of threads and length of the row:
//!
//! * a score: 16 lanes over the width, in ascending order, then a tree over the lanes;
//! * the sum of exponentials: 16 lanes over the chunk's keys, then the lanes in ascending order;
//! * an output value: the chunk's keys in ascending order.
//!
//! Multiply and add are fused on machines with AVX2 and AVX-512 (one rounding) and separate elsewhere.

use super::page::{F16Line, F32Line, LANES, PageLine};
use crate::{
    attention::score::TileScore,
    cpu::vector::{exp, max, sum},
    packed::f32x16::{F32x16, dispatch_simd},
};
use kiln_spec::pages::PAGE_SIZE;

/// Rows of one head of one cached tensor: `[PAGE_SIZE, stride · LANES]` of each page.
#[derive(Clone, Copy)]
pub struct HeadSlice {
    /// Index of the first line within a page.
    pub start: usize,
    /// Lines from one row to the next.
    pub stride: usize,
}

/// A page that the query sees in part or as a whole.
pub struct ChunkPage<'a, E> {
    /// All values of the page.
    pub lines: &'a [E],
    /// Keys that the query sees, one bit for each slot. Not 0.
    pub visible: u64,
    /// Bias of each query and slot, `[R, PAGE_SIZE]`; empty without a bias.
    pub bias: Vec<f32>,
}

/// Input of one task: R queries that share a key-value head, over the pages of a chunk.
pub struct Chunk<'a, E> {
    /// Queries times the scale, `[R, width]`: the parts of a key one after the other, each padded with zeros.
    pub queries: &'a [f32],
    /// Number of queries R.
    pub num_queries: usize,
    /// Values of a query: [`LANES`] · Σ key strides.
    pub width: usize,
    /// Parts that a key is made of.
    pub keys: Vec<HeadSlice>,
    /// Values.
    pub value: HeadSlice,
    /// The score function: its transformation of scores.
    pub score: &'a dyn TileScore,
    /// Pages with a visible key, in ascending order.
    pub pages: Vec<ChunkPage<'a, E>>,
}

/// Result over one chunk, to be merged with those of other chunks.
#[derive(Default)]
pub struct Partial {
    /// Σ_j exp(s_j − m) v_j for each query, `[R, value stride · LANES]`.
    pub out: Vec<f32>,
    /// Greatest score m of each query.
    pub max: Vec<f32>,
    /// Σ_j exp(s_j − m) of each query.
    pub total: Vec<f32>,
}

/// What a task computes of a chunk.
pub enum Work<'a> {
    /// The softmax over its keys and the sums of its values.
    Softmax(&'a mut Partial),
    /// Scores, `[R, pages · PAGE_SIZE]`: −∞ for hidden keys.
    Scores(&'a mut Vec<f32>),
    /// Σ_j p_j v_j, `[R, value stride · LANES]`, for given weights: query q's start at `weights[q · columns]`.
    Values {
        /// Weights of the queries, 0 for hidden keys.
        weights: &'a [f32],
        /// Weights from one query to the next.
        columns: usize,
        /// The sums.
        out: &'a mut Vec<f32>,
    },
}

/// Computes a chunk of 32-bit pages, at least one.
pub fn attend_f32(chunk: &Chunk<F32Line>, work: Work) {
    dispatch_simd!(run::<F32Line>(chunk: &Chunk<F32Line>, work: Work))
}

/// Computes a chunk of 16-bit pages, at least one.
pub fn attend_f16(chunk: &Chunk<F16Line>, work: Work) {
    dispatch_simd!(run::<F16Line>(chunk: &Chunk<F16Line>, work: Work))
}

#[inline(always)]
fn run<E: PageLine, S: F32x16>(chunk: &Chunk<E>, work: Work) {
    match work {
        Work::Softmax(partial) => softmax::<E, S>(chunk, partial),
        Work::Scores(scores) => *scores = chunk_scores::<E, S>(chunk),
        Work::Values { weights, columns, out } => *out = weighted_values::<E, S>(chunk, weights, columns),
    }
}

#[inline(always)]
fn softmax<E: PageLine, S: F32x16>(chunk: &Chunk<E>, partial: &mut Partial) {
    let columns = chunk.pages.len() * PAGE_SIZE;
    let mut scores = chunk_scores::<E, S>(chunk);
    for scores in scores.chunks_exact_mut(columns) {
        let greatest = max(scores);
        scores.iter_mut().for_each(|score| *score = exp(*score - greatest));
        partial.max.push(greatest);
        partial.total.push(sum(columns, |i| scores[i]));
    }
    partial.out = weighted_values::<E, S>(chunk, &scores, columns);
}

/// Scores of all queries, `[R, pages · PAGE_SIZE]`.
#[inline(always)]
fn chunk_scores<E: PageLine, S: F32x16>(chunk: &Chunk<E>) -> Vec<f32> {
    let columns = chunk.pages.len() * PAGE_SIZE;
    let mut scores = vec![0.0f32; chunk.num_queries * columns];
    for (i, page) in chunk.pages.iter().enumerate() {
        page_scores::<E, S>(chunk, page, &mut scores, i * PAGE_SIZE, columns);
    }
    scores
}

/// Σ_j p_j v_j of all queries, `[R, stride · LANES]`. Query q's weights start at `weights[q · columns]`.
#[inline(always)]
fn weighted_values<E: PageLine, S: F32x16>(chunk: &Chunk<E>, weights: &[f32], columns: usize) -> Vec<f32> {
    let stride = chunk.value.stride;
    let mut out = vec![0.0; chunk.num_queries * stride * LANES];
    for (i, page) in chunk.pages.iter().enumerate() {
        // Slots behind the last visible key are left out: they may never have been written by this row.
        let count = PAGE_SIZE - page.visible.leading_zeros() as usize;
        let values = &page.lines[chunk.value.start..][..count * stride];
        add_values::<E, S>(Weighted { values, weights: &weights[i * PAGE_SIZE..], columns, stride }, &mut out);
    }
    out
}

/// Scores of one page: products with all parts of the keys, bias, transformation, −∞ for hidden keys. Query q's scores start at
/// `scores[q · columns + column]`.
#[inline(always)]
fn page_scores<E: PageLine, S: F32x16>(
    chunk: &Chunk<E>,
    page: &ChunkPage<E>,
    scores: &mut [f32],
    column: usize,
    columns: usize,
) {
    page_products::<E, S>(chunk, page, &mut scores[column..], columns);
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

/// Products q · k of all queries with all slots of a page.
///
/// Sixteen products at a time: of four queries with four keys, of two with eight or of one with sixteen, whatever queries are
/// left. Each loaded value of a key is used for all queries of the tile. The keys of a tile stay in the first-level cache for the
/// next queries.
#[inline(always)]
fn page_products<E: PageLine, S: F32x16>(chunk: &Chunk<E>, page: &ChunkPage<E>, scores: &mut [f32], columns: usize) {
    let tiles = chunk.num_queries / 4;
    for slot in (0..PAGE_SIZE).step_by(4) {
        for tile in 0..tiles {
            score_tile::<E, S, 4, 4>(chunk, page, [4 * tile, slot], &mut scores[4 * tile * columns..], columns);
        }
    }
    let mut query = 4 * tiles;
    if query + 2 <= chunk.num_queries {
        for slot in (0..PAGE_SIZE).step_by(8) {
            score_tile::<E, S, 2, 8>(chunk, page, [query, slot], &mut scores[query * columns..], columns);
        }
        query += 2;
    }
    if query < chunk.num_queries {
        for slot in (0..PAGE_SIZE).step_by(16) {
            score_tile::<E, S, 1, 16>(chunk, page, [query, slot], &mut scores[query * columns..], columns);
        }
    }
}

/// Products of N queries from `query` on with M keys from `slot` on, N · M = 16. Query q's start at `scores[q · columns + slot]`.
#[inline(always)]
fn score_tile<E: PageLine, S: F32x16, const N: usize, const M: usize>(
    chunk: &Chunk<E>,
    page: &ChunkPage<E>,
    [query, slot]: [usize; 2],
    scores: &mut [f32],
    columns: usize,
) {
    let mut sums = [S::splat(0.0); LANES];
    for key in (0..M).step_by(4) {
        let out = |i: usize, k: usize| i * M + key + k;
        if N == 4 && S::SUMS < LANES {
            for (i, k) in [(0, 0), (0, 2), (2, 0), (2, 2)] {
                let of_tile = key_products::<E, S, 2, 2>(chunk, page, [query + i, slot + key + k]);
                (0..4).for_each(|at| sums[out(i + at / 2, k + at % 2)] = of_tile[at / 2][at % 2]);
            }
        } else {
            let of_tile = key_products::<E, S, N, 4>(chunk, page, [query, slot + key]);
            (0..4 * N).for_each(|at| sums[out(at / 4, at % 4)] = of_tile[at / 4][at % 4]);
        }
    }
    let mut products = [0.0; LANES];
    S::sum16(sums).store(&mut products);
    for (i, products) in products.chunks_exact(M).enumerate() {
        scores[i * columns + slot..][..M].copy_from_slice(products);
    }
}

/// Lanes of the products of N queries with M keys, over all parts of the keys.
#[inline(always)]
fn key_products<E: PageLine, S: F32x16, const N: usize, const M: usize>(
    chunk: &Chunk<E>,
    page: &ChunkPage<E>,
    [query, slot]: [usize; 2],
) -> [[S; M]; N] {
    let mut sums = [[S::splat(0.0); M]; N];
    let mut first = 0;
    for part in &chunk.keys {
        let queries: [&[[f32; LANES]]; N] = std::array::from_fn(|i| {
            let start = (query + i) * chunk.width + first;
            &chunk.queries[start..start + part.stride * LANES].as_chunks::<LANES>().0[..part.stride]
        });
        let keys: [&[E]; M] =
            std::array::from_fn(|k| &page.lines[part.start + (slot + k) * part.stride..][..part.stride]);
        for i in 0..part.stride {
            let query: [S; N] = std::array::from_fn(|n| S::load(&queries[n][i]));
            for (k, key) in keys.iter().enumerate() {
                let key: S = key[i].load();
                for (sums, query) in sums.iter_mut().zip(query) {
                    sums[k] = key.mul_add(query, sums[k]);
                }
            }
        }
        first += part.stride * LANES;
    }
    sums
}

/// Rows of values, their weights, `[R, columns]`, and the lines of a row.
#[derive(Clone, Copy)]
struct Weighted<'a, E> {
    values: &'a [E],
    weights: &'a [f32],
    columns: usize,
    stride: usize,
}

/// Adds Σ_j p_j v_j to the outputs `[R, stride · LANES]` of all queries, over the rows j.
///
/// A tile of sums, of some queries and some lines, stays in registers over all rows. It is of as many queries as possible, so that
/// the values are read as few times as possible.
#[inline(always)]
fn add_values<E: PageLine, S: F32x16>(rows: Weighted<E>, out: &mut [f32]) {
    let width = rows.stride * LANES;
    let mut query = 0;
    for size in [8, 4, 2, 1] {
        while out.len() / width - query >= size && (size < 8 || S::SUMS >= LANES) {
            let (rows, out) =
                (Weighted { weights: &rows.weights[query * rows.columns..], ..rows }, &mut out[query * width..]);
            match (size, S::SUMS >= LANES) {
                (8, _) => add_to_queries::<E, S, 8, 2>(rows, out),
                (4, true) => add_to_queries::<E, S, 4, 4>(rows, out),
                (4, false) => add_to_queries::<E, S, 4, 1>(rows, out),
                (2, true) => add_to_queries::<E, S, 2, 4>(rows, out),
                (2, false) => add_to_queries::<E, S, 2, 2>(rows, out),
                _ => add_to_queries::<E, S, 1, 4>(rows, out),
            }
            query += size;
        }
    }
}

/// [`add_values`] for the first N queries, M lines at a time.
#[inline(always)]
fn add_to_queries<E: PageLine, S: F32x16, const N: usize, const M: usize>(rows: Weighted<E>, out: &mut [f32]) {
    let mut first = 0;
    while first + M <= rows.stride {
        add_to_tile::<E, S, N, M>(rows, first, out);
        first += M;
    }
    while first < rows.stride {
        add_to_tile::<E, S, N, 1>(rows, first, out);
        first += 1;
    }
}

/// [`add_to_queries`] for M lines from line `first` on.
#[inline(always)]
fn add_to_tile<E: PageLine, S: F32x16, const N: usize, const M: usize>(
    Weighted { values, weights, columns, stride }: Weighted<E>,
    first: usize,
    out: &mut [f32],
) {
    let count = values.len() / stride;
    let weights: [&[f32]; N] = std::array::from_fn(|n| &weights[n * columns..][..count]);
    let (out, _) = out.as_chunks_mut::<LANES>();
    let mut sums = [[S::splat(0.0); M]; N];
    for (query, sums) in sums.iter_mut().enumerate() {
        let out = &out[query * stride + first..][..M];
        sums.iter_mut().zip(out).for_each(|(sum, out)| *sum = S::load(out));
    }
    for (j, row) in values.chunks_exact(stride).enumerate() {
        let row = &row[first..first + M];
        let value: [S; M] = std::array::from_fn(|m| row[m].load());
        for (sums, weights) in sums.iter_mut().zip(weights) {
            let weight = S::splat(weights[j]);
            for (sum, value) in sums.iter_mut().zip(value) {
                *sum = value.mul_add(weight, *sum);
            }
        }
    }
    for (query, sums) in sums.into_iter().enumerate() {
        let out = &mut out[query * stride + first..][..M];
        sums.into_iter().zip(out).for_each(|(sum, out)| sum.store(out));
    }
}
