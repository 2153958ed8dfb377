//! Backward pass of fused attention (2205.14135, appendix B.2, algorithm 4).
//!
//! With S the scores, P the weights, O the output, L the log-sum-exp and dO, dL their gradients:
//!
//! * P = exp(S − L), computed again from query and key
//! * dV = Pᵀ dO
//! * dP = dO Vᵀ, and dS = P ⊙ (dP − D) with D_i = Σ_e dO_ie O_ie − dL_i
//! * dQ = scale · dS K, dK = scale · dSᵀ Q
//!
//! The score function computes P and dS of a row; written here are those of the softmax. dS then passes through the
//! derivative of its transformation (a softcap); the result is also the gradient of the score bias.

use super::{
    SavedTensors,
    forward::AttentionInputs,
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

/// Gradients of query `[B, T, H, D]`, key `[B, S, G, D]` and value `[B, S, G, E]` in memory.
struct GradientBuffers<'a> {
    query: HeadsMut<'a>,
    key: HeadsMut<'a>,
    value: HeadsMut<'a>,
}

/// Returns the gradients of query, key and value, as views `[B, H, T, D]`, and of the bias's parameters `[N, H]`.
///
/// A task works on one group of one sequence: all its query heads in ascending order, each in blocks of queries in ascending
/// order. Only this task adds to the group's keys and values, so the order of those sums is fixed.
pub fn backward(saved: &SavedTensors<FlexTensor>, tiles: &[TilePlan], gradient: &FlexTensor) -> [FlexTensor; 4] {
    let inputs =
        AttentionInputs { query: &saved.query, key: &saved.key, value: &saved.value, parameters: &saved.parameters };
    let ([b, h, t, g, s, e], d) = (inputs.sizes(), saved.query.layout().shape()[3]);
    let shapes = [[b, t, h, d], [b, s, g, d], [b, s, g, e]];
    let [mut dq, mut dk, mut dv] = shapes.map(|shape| vec![0.0f32; shape.iter().product()]);
    let buffers = GradientBuffers {
        query: HeadsMut::new(&mut dq, shapes[0]),
        key: HeadsMut::new(&mut dk, shapes[1]),
        value: HeadsMut::new(&mut dv, shapes[2]),
    };
    let parameters = saved.parameters.to_contiguous();
    let entries = parameters.layout().shape()[0];
    let mut parameter_gradients = vec![0.0f32; b * h * entries];
    parameter_gradients.par_chunks_mut(h / g * entries).enumerate().for_each(|(task, parameter_gradients)| {
        let (batch, group) = (task / g, task % g);
        let mut scratch = Scratch::default();
        for (head, parameter_gradient) in (group * (h / g)..).zip(parameter_gradients.chunks_mut(entries)) {
            let parameters = HeadParameters::new(as_f32_slice(&parameters), [head, h]);
            let terms = ScoreTerms::new(&saved.params, &parameters, &tiles[batch]);
            let task = HeadBackward { saved, gradient, buffers: &buffers, batch, head, group, terms };
            for number in 0..t.div_ceil(tiles[batch].tile_size) {
                task.run_block(&QueryBlock::new(&tiles[batch], number, t), &mut scratch, parameter_gradient);
            }
        }
    });
    let parameter_gradient = sum_parameter_gradients(&parameter_gradients, [b, h, entries]);
    [heads_view(dq, shapes[0]), heads_view(dk, shapes[1]), heads_view(dv, shapes[2]), parameter_gradient]
}

/// A view `[B, H, T, D]` of memory `[B, T, H, D]`.
fn heads_view(values: Vec<f32>, shape: [usize; 4]) -> FlexTensor {
    f32_tensor(values, Shape::from(shape)).transpose(1, 2)
}

/// Sum over the sequences in ascending order: `[B, H, N] → [N, H]`.
fn sum_parameter_gradients(parts: &[f32], [b, h, entries]: [usize; 3]) -> FlexTensor {
    let mut sum = vec![0.0; h * entries];
    for batch in 0..b {
        sum.iter_mut().zip(&parts[batch * h * entries..]).for_each(|(sum, part)| *sum += part);
    }
    f32_tensor(sum, Shape::from([h, entries])).transpose(0, 1)
}

/// Memory of one block, `[queries, keys]` each. A task reuses it for all its blocks.
#[derive(Default)]
struct Scratch {
    scores: Vec<f32>,
    weights: Vec<f32>,
    gradients: Vec<f32>,
}

impl Scratch {
    /// Grows to at least `len` elements. Old values stay; a block overwrites what it reads.
    fn reserve(&mut self, len: usize) {
        for values in [&mut self.scores, &mut self.weights, &mut self.gradients] {
            values.resize(values.len().max(len), 0.0);
        }
    }
}

/// Backward pass of one query head of one sequence.
struct HeadBackward<'a> {
    saved: &'a SavedTensors<FlexTensor>,
    /// Gradient of the output, `[B, H, T, E]` or `[B, H, T, E + 1]`.
    gradient: &'a FlexTensor,
    buffers: &'a GradientBuffers<'a>,
    batch: usize,
    head: usize,
    group: usize,
    terms: ScoreTerms<'a>,
}

impl HeadBackward<'_> {
    /// The block's rows of a tensor `[B, H, T, ·]`.
    fn rows<'t>(&self, tensor: &'t FlexTensor, block: &QueryBlock) -> MatrixRef<'t> {
        MatrixRef::head(tensor, self.batch, self.head).rows(block.first_query, block.num_queries)
    }

    /// Adds the contribution of a block of queries to all gradients.
    fn run_block(&self, block: &QueryBlock, scratch: &mut Scratch, parameter_gradient: &mut [f32]) {
        let (count, width) = (block.num_queries, block.num_keys);
        scratch.reserve(count * width);
        let key = MatrixRef::head(&self.saved.key, self.batch, self.group);
        let value = MatrixRef::head(&self.saved.value, self.batch, self.group);
        let out_gradient = self.rows(self.gradient, block).narrow(value.shape[1]);
        block.scores(&mut scratch.scores, self.rows(&self.saved.query, block), key, &self.terms);
        for run in block.key_runs() {
            MatrixMut::columns(&mut scratch.gradients, [count, run.num_keys], run.score_column, width).gemm(
                out_gradient,
                value.rows(run.first_key, run.num_keys).transposed(),
                1.0,
                false,
            );
        }
        self.weights_and_score_gradients(block, scratch, parameter_gradient);
        self.add_products(block, scratch, out_gradient, key);
    }

    /// P and dS of a block, from S and dP. Rows of queries that see no key are 0.
    fn weights_and_score_gradients(&self, block: &QueryBlock, scratch: &mut Scratch, parameter_gradient: &mut [f32]) {
        let (width, e) = (block.num_keys, self.saved.value.layout().shape()[3]);
        let out = self.rows(&self.saved.out, block);
        let out_gradient = self.rows(self.gradient, block);
        let shape = self.saved.query.layout().shape();
        let (h, t) = (shape[1], shape[2]);
        let first = (self.batch * h + self.head) * t + block.first_query;
        let log_sum = &as_f32_slice(&self.saved.log_sum_exp)[first..][..block.num_queries];
        for row in 0..block.num_queries {
            let cells = row * width..(row + 1) * width;
            let (p, ds) = (&mut scratch.weights[cells.clone()], &mut scratch.gradients[cells.clone()]);
            if log_sum[row] == f32::NEG_INFINITY {
                p.fill(0.0);
                ds.fill(0.0);
                continue;
            }
            let score = self.terms.score;
            score.weights_again(&scratch.scores[cells.clone()], log_sum[row], p);
            let log_sum_gradient = if self.saved.params.needs_log_sum_exp { out_gradient.get(row, e) } else { 0.0 };
            score.gradient(ds, p, out_gradient.narrow(e).row_dot(&out.narrow(e), row) - log_sum_gradient);
            score.transform_gradient(ds, &scratch.scores[cells]);
            block.add_parameter_gradient(ds, row, &self.terms, parameter_gradient);
        }
    }

    /// Adds dQ, dK and dV of a block, run after run of its keys.
    fn add_products(&self, block: &QueryBlock, scratch: &Scratch, out_gradient: MatrixRef, key: MatrixRef) {
        let (count, width) = (block.num_queries, block.num_keys);
        let query = self.rows(&self.saved.query, block);
        // SAFETY: this task alone works on this group of this sequence, and so on the group's query heads.
        #[allow(unsafe_code)]
        let mut dq = unsafe { self.buffers.query.rows(self.batch, self.head, block.first_query, count) };
        for (i, run) in block.key_runs().enumerate() {
            let [p, ds] = [&scratch.weights, &scratch.gradients]
                .map(|values| MatrixRef::columns(values, [count, run.num_keys], run.score_column, width));
            // SAFETY: as above.
            #[allow(unsafe_code)]
            let [mut dk, mut dv] = unsafe {
                [&self.buffers.key, &self.buffers.value]
                    .map(|buffer| buffer.rows(self.batch, self.group, run.first_key, run.num_keys))
            };
            dq.gemm(ds, key.rows(run.first_key, run.num_keys), self.terms.scale, i > 0);
            dk.gemm(ds.transposed(), query, self.terms.scale, true);
            dv.gemm(p.transposed(), out_gradient, 1.0, true);
        }
    }
}
