//! Forward pass of fused attention: scores of a block of queries, weights of each row, product with the values.

use super::{
    AttentionParams,
    query_block::QueryBlock,
    score_terms::{HeadParameters, ScoreTerms},
};
use crate::cpu::{
    matrix::{HeadsMut, MatrixMut, MatrixRef},
    tensor::{as_f32_slice, f32_tensor},
};
use burn::backend::flex::FlexTensor;
use burn::tensor::Shape;
use kiln_spec::plan::TilePlan;
use rayon::prelude::*;

/// Input tensors of a call.
pub struct AttentionInputs<'a> {
    /// `[B, H, T, D]`.
    pub query: &'a FlexTensor,
    /// `[B, G, S, D]`.
    pub key: &'a FlexTensor,
    /// `[B, G, S, E]`.
    pub value: &'a FlexTensor,
    /// Parameters of the score bias, `[N, H]`.
    pub parameters: &'a FlexTensor,
}

impl AttentionInputs<'_> {
    /// Returns the sizes B, H, T, G, S, E.
    pub fn sizes(&self) -> [usize; 6] {
        let [b, h, t, _] = dims4(self.query);
        let [_, g, s, e] = dims4(self.value);
        [b, h, t, g, s, e]
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
    let parameters = inputs.parameters.to_contiguous();
    log_sum.par_chunks_mut(t).enumerate().for_each(|(task, log_sum)| {
        let (batch, head) = (task / h, task % h);
        let group = head * g / h;
        let query = MatrixRef::head(inputs.query, batch, head);
        let key = MatrixRef::head(inputs.key, batch, group);
        let value = MatrixRef::head(inputs.value, batch, group);
        let parameters = HeadParameters::new(as_f32_slice(&parameters), [head, h]);
        let terms = ScoreTerms::new(params, &parameters, &tiles[batch]);
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
            let column = params.needs_log_sum_exp.then_some(e);
            write_block(out, &block, (&mut scores, &terms), value, column, log_sum);
        }
    });
    let out = f32_tensor(out, Shape::from([b, t, h, columns])).transpose(1, 2);
    (out, f32_tensor(log_sum, Shape::from([b, h, t])))
}

/// Writes the output rows of a block: weights of its scores, then the product with the values of each run of keys. The
/// log-sum-exps go to `log_sum` and, if given, to column `log_sum_column` of the output.
fn write_block(
    mut out: MatrixMut,
    block: &QueryBlock,
    (scores, terms): (&mut [f32], &ScoreTerms),
    value: MatrixRef,
    log_sum_column: Option<usize>,
    log_sum: &mut [f32],
) {
    let (count, width) = (block.num_queries, block.num_keys);
    for row in 0..count {
        log_sum[row] = terms.score.weights(&mut scores[row * width..(row + 1) * width]);
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
