//! Forward pass of fused attention: scores of a block of queries, softmax of each row, product with the values.

use super::{
    AttentionParams,
    query_block::QueryBlock,
    score_terms::{DistanceRange, ScoreTerms},
};
use crate::cpu::{
    matrix::{HeadsMut, MatrixMut, MatrixRef},
    tensor::{as_f32_slice, f32_tensor},
    vector::{exp, max, sum, vectorized},
};
use burn::backend::flex::FlexTensor;
use burn::tensor::Shape;
use kiln_spec::plan::TilePlan;
use rayon::prelude::*;

vectorized! {
    /// Softmax of a row of scores in place; returns the log-sum-exp. Scores of −∞ get weight 0; a row of only −∞ gets
    /// weights 0 and log-sum-exp −∞.
    ///
    /// The maximum is subtracted first, so the greatest exponential is 1. Weights are divided by the sum, not multiplied by
    /// its inverse: one rounding less.
    fn softmax_row(scores: &mut [f32]) -> f32 {
        let max_score = max(scores);
        if max_score == f32::NEG_INFINITY {
            scores.fill(0.0);
            return f32::NEG_INFINITY;
        }
        for score in scores.iter_mut() {
            *score = exp(*score - max_score);
        }
        let total = sum(scores.len(), |i| scores[i]);
        for score in scores.iter_mut() {
            *score /= total;
        }
        max_score + total.ln()
    }
}

/// Input tensors of a call.
pub struct AttentionInputs<'a> {
    /// `[B, H, T, D]`.
    pub query: &'a FlexTensor,
    /// `[B, G, S, D]`.
    pub key: &'a FlexTensor,
    /// `[B, G, S, E]`.
    pub value: &'a FlexTensor,
    /// Bias table `[N, H]`.
    pub table: &'a FlexTensor,
}

impl AttentionInputs<'_> {
    /// Returns the sizes B, H, T, G, S, E.
    pub fn sizes(&self) -> [usize; 6] {
        let [b, h, t, _] = dims4(self.query);
        let [_, g, s, e] = dims4(self.value);
        [b, h, t, g, s, e]
    }

    /// Returns the range of distances of each sequence, or none without a bias.
    pub fn distance_ranges<'t>(&self, params: &AttentionParams, tiles: &'t [TilePlan]) -> Vec<DistanceRange<'t>> {
        params.bias_kind.iter().flat_map(|kind| tiles.iter().map(|tiles| DistanceRange::new(kind, tiles))).collect()
    }
}

/// Returns the output, a view `[B, H, T, E]` of memory `[B, T, H, E]` (E + 1 with the log-sum-exp as last column), and the
/// log-sum-exp `[B, H, T]`.
///
/// The memory order is what the output projection reads next, so it makes no copy. One task a (sequence, head).
pub fn forward(inputs: &AttentionInputs, tiles: &[TilePlan], params: &AttentionParams) -> (FlexTensor, FlexTensor) {
    let [b, h, t, g, _, e] = inputs.sizes();
    let columns = e + usize::from(params.needs_log_sum_exp);
    let mut out = vec![0.0f32; b * t * h * columns];
    let mut log_sum = vec![0.0f32; b * h * t];
    let heads = HeadsMut::new(&mut out, [b, t, h, columns]);
    let table = inputs.table.to_contiguous();
    let ranges = inputs.distance_ranges(params, tiles);
    log_sum.par_chunks_mut(t).enumerate().for_each(|(task, log_sum)| {
        let (batch, head) = (task / h, task % h);
        let group = head * g / h;
        let query = MatrixRef::head(inputs.query, batch, head);
        let key = MatrixRef::head(inputs.key, batch, group);
        let value = MatrixRef::head(inputs.value, batch, group);
        let terms = ScoreTerms::new(params, ranges.get(batch), as_f32_slice(&table), [head, h]);
        let mut scores = Vec::new();
        for number in 0..t.div_ceil(tiles[batch].tile_size) {
            let block = QueryBlock::new(&tiles[batch], number, t);
            let (first, count) = (block.first_query, block.num_queries);
            scores.resize(scores.len().max(count * block.num_keys), 0.0);
            block.scores(&mut scores, query.rows(first, count), key, &terms);
            // SAFETY: this task alone works on this head of this sequence.
            #[allow(unsafe_code)]
            let out = unsafe { heads.rows(batch, head, first, count) };
            let log_sum = &mut log_sum[first..first + count];
            write_block(out, &block, &mut scores, value, params.needs_log_sum_exp.then_some(e), log_sum);
        }
    });
    let out = f32_tensor(out, Shape::from([b, t, h, columns])).transpose(1, 2);
    (out, f32_tensor(log_sum, Shape::from([b, h, t])))
}

/// Writes the output rows of a block: softmax of its scores, then the product with the values of each run of keys. The
/// log-sum-exps go to `log_sum` and, if given, to column `log_sum_column` of the output.
fn write_block(
    mut out: MatrixMut,
    block: &QueryBlock,
    scores: &mut [f32],
    value: MatrixRef,
    log_sum_column: Option<usize>,
    log_sum: &mut [f32],
) {
    let (count, width) = (block.num_queries, block.num_keys);
    for row in 0..count {
        log_sum[row] = softmax_row(&mut scores[row * width..(row + 1) * width]);
    }
    if let Some(column) = log_sum_column {
        (0..count).for_each(|row| out.set(row, column, log_sum[row]));
    }
    let mut out = out.narrow(value.shape[1]);
    for (i, run) in block.key_runs().enumerate() {
        let weights = MatrixRef::columns(scores, [count, run.num_keys], run.score_column, width);
        out.gemm(weights, value.rows(run.first_key, run.num_keys), 1.0, i > 0);
    }
}

/// Shape of a tensor of four dimensions.
pub fn dims4(tensor: &FlexTensor) -> [usize; 4] {
    let shape = tensor.layout().shape();
    [shape[0], shape[1], shape[2], shape[3]]
}
