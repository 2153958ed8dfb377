//! From the chunks of a row to the row: weights that depend on all its keys, and the merge of partial results.

use super::{Sizes, VisiblePage, chunk::Partial};
use crate::{attention::score::TileScore, cpu::vector::vectorized};
use rayon::prelude::*;

/// A row, and the pages of one of its chunks.
pub type RowChunk<'a> = (usize, &'a [VisiblePage<'a>]);

/// Replaces the scores of each task, `[R, columns]`, by weights, which are computed from all scores of a row and head.
pub fn row_weights(
    chunks: &[RowChunk],
    mut scores: Vec<Vec<f32>>,
    score: &dyn TileScore,
    sizes: Sizes,
) -> Vec<Vec<f32>> {
    let r = sizes.heads_per_group();
    let mut rest = scores.as_mut_slice();
    for row_chunks in chunks.chunk_by(|a, b| a.0 == b.0) {
        let (row_tasks, others) = rest.split_at_mut(row_chunks.len() * sizes.kv_heads);
        rest = others;
        let of_query = |query: usize, scores: &[f32]| query * scores.len() / r..(query + 1) * scores.len() / r;
        let heads = (0..sizes.heads).into_par_iter().map(|head| {
            let tasks = row_tasks.iter().skip(head / r).step_by(sizes.kv_heads);
            let mut row: Vec<f32> = tasks.flat_map(|scores| &scores[of_query(head % r, scores)]).copied().collect();
            score.weights(&mut row);
            row
        });
        for (head, row) in heads.collect::<Vec<_>>().into_iter().enumerate() {
            let mut weights = row.into_iter();
            for scores in row_tasks.iter_mut().skip(head / r).step_by(sizes.kv_heads) {
                let range = of_query(head % r, scores);
                scores[range].iter_mut().zip(&mut weights).for_each(|(score, weight)| *score = weight);
            }
        }
    }
    scores
}

/// Merges the chunks of each row in ascending order: o = Σ_c e^(m_c − m) o_c / Σ_c e^(m_c − m) l_c with m = max m_c, and
/// L = m + ln of the denominator. Rows without a chunk: output 0, L = −∞. Sums of weights that are not normalized have m = 0 and
/// are not divided.
pub fn merge(chunks: &[RowChunk], partials: &[Partial], sizes: Sizes, normalize: bool) -> (Vec<f32>, Vec<f32>) {
    let (e, r) = (sizes.value_width, sizes.heads_per_group());
    let mut out = vec![0.0; sizes.rows * sizes.heads * e];
    let mut log_sum_exp = vec![f32::NEG_INFINITY; sizes.rows * sizes.heads];
    let mut first = 0;
    for row_chunks in chunks.chunk_by(|a, b| a.0 == b.0) {
        for head in 0..sizes.heads {
            let (group, query) = (head / r, head % r);
            let row_partials =
                || (first..first + row_chunks.len()).map(|chunk| &partials[chunk * sizes.kv_heads + group]);
            let greatest = row_partials().map(|partial| partial.max[query]).fold(f32::NEG_INFINITY, f32::max);
            let index = row_chunks[0].0 * sizes.heads + head;
            let out = &mut out[index * e..][..e];
            let mut total = 0.0;
            for partial in row_partials() {
                let factor = (partial.max[query] - greatest).exp();
                total += factor * partial.total[query];
                add_scaled(out, factor, &partial.out[query * (partial.out.len() / r)..]);
            }
            if normalize {
                divide(out, total);
            }
            log_sum_exp[index] = greatest + total.ln();
        }
        first += row_chunks.len();
    }
    (out, log_sum_exp)
}

vectorized! {
    /// out ← out + factor · values.
    fn add_scaled(out: &mut [f32], factor: f32, values: &[f32]) {
        for (out, value) in out.iter_mut().zip(values) {
            *out += factor * value;
        }
    }

    /// out ← out / divisor.
    fn divide(out: &mut [f32], divisor: f32) {
        for out in out {
            *out /= divisor;
        }
    }
}
