//! Forward: softmax of a block of rows, then its product with the values.

use super::{
    AttentionParams,
    query_block::QueryBlock,
    score_terms::{DistanceRange, ScoreTerms},
};
use crate::cpu::{
    matrix::{HeadsMut, MatrixRef},
    tensor::{as_f32_slice, f32_tensor},
    vector::{exp, max, sum, vectorized},
};
use burn::backend::flex::FlexTensor;
use burn::tensor::Shape;
use kiln_spec::plan::TilePlan;
use rayon::prelude::*;

vectorized! {
    /// Scores to weights in place; returns the log-sum-exp. Keys at −∞ weigh 0.
    fn softmax_row(scores: &mut [f32]) -> f32 {
        let top = max(scores);
        if top == f32::NEG_INFINITY {
            scores.fill(0.0);
            return f32::NEG_INFINITY;
        }
        for score in scores.iter_mut() {
            *score = exp(*score - top);
        }
        let total = sum(scores.len(), |i| scores[i]);
        for score in scores.iter_mut() {
            *score /= total;
        }
        top + total.ln()
    }
}

/// What a call's tensors are, looked at once.
pub struct AttentionInputs<'a> {
    /// `[B, H, T, D]`.
    pub query: &'a FlexTensor,
    /// `[B, G, S, D]`.
    pub key: &'a FlexTensor,
    /// `[B, G, S, E]`.
    pub value: &'a FlexTensor,
    /// `[N, H]`.
    pub table: &'a FlexTensor,
}

impl AttentionInputs<'_> {
    /// B, H, T, G, S, E.
    pub fn sizes(&self) -> [usize; 6] {
        let ([b, h, t, _], [_, g, s, e]) = (dims4(self.query), dims4(self.value));
        [b, h, t, g, s, e]
    }

    /// Distances of each row of the batch, if there is a bias.
    pub fn distance_ranges<'t>(&self, how: &AttentionParams, tiles: &'t [TilePlan]) -> Vec<DistanceRange<'t>> {
        how.bias_kind.iter().flat_map(|by| tiles.iter().map(|tiles| DistanceRange::new(by, tiles))).collect()
    }
}

/// The output, a view `[B, H, T, E]` of memory `[B, T, H, E]` (with the log-sum-exp behind it, if asked for: E + 1),
/// and the log-sum-exp `[B, H, T]`.
pub fn forward(sides: &AttentionInputs, tiles: &[TilePlan], how: &AttentionParams) -> (FlexTensor, FlexTensor) {
    let [b, h, t, g, _, e] = sides.sizes();
    let wide = e + usize::from(how.needs_log_sum_exp);
    let (mut out, mut log_sum) = (vec![0.0f32; b * t * h * wide], vec![0.0f32; b * h * t]);
    let heads = HeadsMut::new(&mut out, [b, t, h, wide]);
    let (table, reaches) = (sides.table.to_contiguous(), sides.distance_ranges(how, tiles));
    log_sum.par_chunks_mut(t).enumerate().for_each(|(task, log_sum)| {
        let (batch, head) = (task / h, task % h);
        let (query, group) = (MatrixRef::head(sides.query, batch, head), head * g / h);
        let (key, value) = (MatrixRef::head(sides.key, batch, group), MatrixRef::head(sides.value, batch, group));
        let terms =
            ScoreTerms::new(how.scale as f32, how.softcap_f32(), reaches.get(batch), as_f32_slice(&table), [head, h]);
        let mut scores = Vec::new();
        for number in 0..t.div_ceil(tiles[batch].tile_size) {
            let block = QueryBlock::new(&tiles[batch], number, t);
            let (first, count, width) = (block.first_query, block.num_queries, block.num_keys);
            scores.resize(scores.len().max(count * width), 0.0);
            block.scores(&mut scores, query.rows(first, count), key, &terms);
            for row in 0..count {
                log_sum[first + row] = softmax_row(&mut scores[row * width..(row + 1) * width]);
            }
            // SAFETY: this task alone works on this head of this batch row.
            #[allow(unsafe_code)]
            let mut out = unsafe { heads.rows(batch, head, first, count) };
            if how.needs_log_sum_exp {
                (0..count).for_each(|row| out.set(row, e, log_sum[first + row]));
            }
            let mut out = out.narrow(e);
            for (i, run) in block.key_runs().enumerate() {
                let weights = MatrixRef::columns(&scores, [count, run.num_keys], run.score_column, width);
                out.gemm(weights, value.rows(run.first_key, run.num_keys), 1.0, i > 0);
            }
        }
    });
    let out = f32_tensor(out, Shape::from([b, t, h, wide])).transpose(1, 2);
    (out, f32_tensor(log_sum, Shape::from([b, h, t])))
}

/// Four dimensions of a tensor.
pub fn dims4(tensor: &FlexTensor) -> [usize; 4] {
    let shape = tensor.layout().shape();
    [shape[0], shape[1], shape[2], shape[3]]
}
