//! Attention of the queries of one key-value head over one chunk of pages.
//!
//! Order of sums, the same for any batch, number of threads and length of the row:
//!
//! * a score: 16 lanes over the width, in ascending order, then a tree over the lanes;
//! * the sum of exponentials: 16 lanes over the chunk's keys, then the lanes in ascending order;
//! * an output value: the chunk's keys in ascending order.
//!
//! Pages are computed one after the other: scores, exponentials, sums of values. The greatest score up to a page is subtracted; where
//! a page has a greater one, the sums so far are scaled first (online softmax, 2205.14135, algorithm 1). A page of latents, which
//! are keys and values, is read from memory once: it stays in the second-level cache between the two. Meanwhile the next page is
//! fetched.
//!
//! Multiply and add are fused on machines with AVX2 and AVX-512 (one rounding) and separate elsewhere.

use super::{
    line::{F16Line, F32Line, HeadSlice, LANES, NextPage, PageLine},
    scores::page_products,
    values::add_values,
};
use crate::{
    attention::score::TileScore,
    cpu::vector::exp,
    packed::f32x16::{F32x16, dispatch_simd},
};
use kiln_spec::pages::PAGE_SIZE;

/// Scores of one query for the keys of a page, or weights.
pub type PageScores = [f32; PAGE_SIZE];

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
    /// Queries times the scale, in the order of [`super::queries`]: the parts of a key one after the other, each padded with zeros.
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
    /// The first page of the task that follows.
    pub following: NextPage<'a, E>,
}

impl<E: PageLine> Chunk<'_, E> {
    /// The page after page i.
    fn next_page(&self, i: usize) -> NextPage<'_, E> {
        self.pages.get(i + 1).map_or(self.following, |page| NextPage { lines: page.lines, heads: 0 })
    }

    /// The part of the keys that is the value too.
    pub fn latent(&self) -> Option<HeadSlice> {
        self.keys.contains(&self.value).then_some(self.value)
    }
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
    let (r, width) = (chunk.num_queries, chunk.value.stride * LANES);
    let mut scores = vec![[0.0; PAGE_SIZE]; r];
    let mut totals = vec![[0.0; LANES]; r];
    // Not −∞: a page whose scores are all −∞ then has weights of 0.
    *partial = Partial { out: vec![0.0; r * width], max: vec![f32::MIN; r], total: vec![] };
    for (i, page) in chunk.pages.iter().enumerate() {
        let next = chunk.next_page(i);
        page_scores::<E, S>(chunk, page, next, &mut scores);
        for query in 0..r {
            let out = &mut partial.out[query * width..][..width];
            exponentials::<S>(&mut scores[query], &mut partial.max[query], &mut totals[query], out);
        }
        add_values::<E, S>(chunk, page, next, &scores, partial.out.as_chunks_mut().0);
    }
    partial.total.extend(totals.iter().map(|lanes| lanes.iter().sum::<f32>()));
}

/// Replaces the scores of a page by exp(s − m), m the greatest score up to this page, and adds them to `totals`, lane by lane. If m
/// grew, the sums over earlier pages are scaled first.
#[inline(always)]
fn exponentials<S: F32x16>(scores: &mut PageScores, max: &mut f32, totals: &mut [f32; LANES], out: &mut [f32]) {
    let of_page = page_max(scores);
    if of_page > *max {
        let factor = exp(*max - of_page);
        *max = of_page;
        scale::<S>(totals, factor);
        for sums in out.as_chunks_mut().0 {
            scale::<S>(sums, factor);
        }
    }
    for score in scores.iter_mut() {
        *score = exp(*score - *max);
    }
    for weights in scores.as_chunks::<LANES>().0 {
        for (total, weight) in totals.iter_mut().zip(weights) {
            *total += weight;
        }
    }
}

/// values ← factor · values.
#[inline(always)]
fn scale<S: F32x16>(values: &mut [f32; LANES], factor: f32) {
    S::load(values).mul_add(S::splat(factor), S::splat(0.0)).store(values);
}

/// The greatest score; NaNs are ignored.
#[inline(always)]
fn page_max(scores: &PageScores) -> f32 {
    let mut lanes = [f32::MIN; LANES];
    for scores in scores.as_chunks::<LANES>().0 {
        for (lane, score) in lanes.iter_mut().zip(scores) {
            *lane = if *score > *lane { *score } else { *lane };
        }
    }
    for width in [8, 4, 2, 1] {
        for i in 0..width {
            lanes[i] = if lanes[i + width] > lanes[i] { lanes[i + width] } else { lanes[i] };
        }
    }
    lanes[0]
}

/// Scores of all queries, `[R, pages · PAGE_SIZE]`.
#[inline(always)]
fn chunk_scores<E: PageLine, S: F32x16>(chunk: &Chunk<E>) -> Vec<f32> {
    let columns = chunk.pages.len() * PAGE_SIZE;
    let mut out = vec![0.0f32; chunk.num_queries * columns];
    let mut scores = vec![[0.0; PAGE_SIZE]; chunk.num_queries];
    for (i, page) in chunk.pages.iter().enumerate() {
        page_scores::<E, S>(chunk, page, chunk.next_page(i), &mut scores);
        for (out, scores) in out.chunks_exact_mut(columns).zip(&scores) {
            out[i * PAGE_SIZE..][..PAGE_SIZE].copy_from_slice(scores);
        }
    }
    out
}

/// Σ_j p_j v_j of all queries, `[R, stride · LANES]`. Query q's weights start at `weights[q · columns]`.
#[inline(always)]
fn weighted_values<E: PageLine, S: F32x16>(chunk: &Chunk<E>, weights: &[f32], columns: usize) -> Vec<f32> {
    let mut out = vec![0.0; chunk.num_queries * chunk.value.stride * LANES];
    let mut of_page = vec![[0.0; PAGE_SIZE]; chunk.num_queries];
    for (i, page) in chunk.pages.iter().enumerate() {
        for (of_page, weights) in of_page.iter_mut().zip(weights.chunks_exact(columns)) {
            of_page.copy_from_slice(&weights[i * PAGE_SIZE..][..PAGE_SIZE]);
        }
        add_values::<E, S>(chunk, page, chunk.next_page(i), &of_page, out.as_chunks_mut().0);
    }
    out
}

/// Scores of one page: products with all parts of the keys, bias, transformation, −∞ for hidden keys.
#[inline(always)]
fn page_scores<E: PageLine, S: F32x16>(
    chunk: &Chunk<E>,
    page: &ChunkPage<E>,
    next: NextPage<E>,
    scores: &mut [PageScores],
) {
    page_products::<E, S>(chunk, page, next, scores);
    for (query, scores) in scores.iter_mut().enumerate() {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        attention::{Score, Softmax, paged::queries::pack_queries},
        packed::f32x16::Portable,
    };
    use kiln_spec::Random;

    /// The result over two pages of random values, of which the query sees 100: keys of `[32, 16]` and values of `[48]`, or the
    /// first part of the keys as values. `run` takes an implementation.
    fn result(r: usize, is_latent: bool, run: impl Fn(&Chunk<F32Line>, Work)) -> Partial {
        let mut random = Random::new(7, "chunk", r as u64, u64::from(is_latent));
        let mut normals = |count: usize| (0..count).map(|_| random.normal() as f32).collect::<Vec<_>>();
        let lines: Vec<F32Line> = normals(2 * 6 * 64 * LANES).as_chunks().0.iter().map(|line| F32Line(*line)).collect();
        let mut queries = Vec::new();
        pack_queries(&normals(r * 48), 48, &mut queries);
        let keys = vec![HeadSlice { start: 0, stride: 2 }, HeadSlice { start: 128, stride: 1 }];
        let value = if is_latent { keys[0] } else { HeadSlice { start: 192, stride: 3 } };
        let following = NextPage { lines: &lines, heads: 0 };
        let page = |(lines, visible)| ChunkPage { lines, visible, bias: vec![] };
        let pages = lines.chunks(6 * 64).zip([u64::MAX, 0xf_ffff_ffff]).map(page).collect();
        let score = Softmax::default().tile().expect("a softmax works in a tile");
        let mut partial = Partial::default();
        let chunk =
            Chunk { queries: &queries, num_queries: r, width: 48, keys, value, score: &*score, pages, following };
        run(&chunk, Work::Softmax(&mut partial));
        partial
    }

    #[cfg(target_arch = "x86_64")]
    fn attend_avx2(chunk: &Chunk<F32Line>, work: Work) {
        #[target_feature(enable = "avx2,f16c,fma")]
        fn with_avx2(chunk: &Chunk<F32Line>, work: Work) {
            run::<F32Line, crate::packed::f32x16::Avx2>(chunk, work);
        }
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") && is_x86_feature_detected!("f16c") {
            // SAFETY: the machine has the features that `with_avx2` is compiled for.
            #[allow(unsafe_code)]
            unsafe {
                with_avx2(chunk, work);
            }
        } else {
            attend_f32(chunk, work);
        }
    }

    /// AVX2 and AVX-512 give equal bits, and plain code the same numbers but for the rounding of products.
    #[test]
    fn all_instruction_sets_give_the_same_result() {
        for (r, is_latent) in (1..18).flat_map(|r| [(r, false), (r, true)]) {
            let chosen = result(r, is_latent, attend_f32);
            let plain = result(r, is_latent, run::<F32Line, Portable>);
            for (a, b) in [(&chosen.out, &plain.out), (&chosen.max, &plain.max), (&chosen.total, &plain.total)] {
                let difference = a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                assert!(a.len() == b.len() && difference < 1e-4, "{r} queries: {difference}");
            }
            #[cfg(target_arch = "x86_64")]
            {
                let narrow = result(r, is_latent, attend_avx2);
                if is_x86_feature_detected!("avx2") {
                    assert_eq!((chosen.out, chosen.max, chosen.total), (narrow.out, narrow.max, narrow.total), "{r}");
                }
            }
        }
    }
}
