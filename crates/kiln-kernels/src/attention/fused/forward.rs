//! Forward: softmax of a block of rows, then its product with the values.

use super::{
    How,
    block::Block,
    terms::{Reach, Terms},
};
use crate::cpu::{
    matrix::{Heads, Matrix},
    tensor::{floats, tensor},
    vector::{exp, most, sum, vectorised},
};
use burn::backend::flex::FlexTensor;
use burn::tensor::Shape;
use kiln_spec::plan::Tiles;
use rayon::prelude::*;

vectorised! {
    /// Scores to weights in place; returns the log-sum-exp. Keys at −∞ weigh 0.
    fn soften(scores: &mut [f32]) -> f32 {
        let top = most(scores);
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
pub struct Sides<'a> {
    /// `[B, H, T, D]`.
    pub query: &'a FlexTensor,
    /// `[B, G, S, D]`.
    pub key: &'a FlexTensor,
    /// `[B, G, S, E]`.
    pub value: &'a FlexTensor,
    /// `[N, H]`.
    pub table: &'a FlexTensor,
}

impl Sides<'_> {
    /// B, H, T, G, S, E.
    pub fn sizes(&self) -> [usize; 6] {
        let ([b, h, t, _], [_, g, s, e]) = (dims(self.query), dims(self.value));
        [b, h, t, g, s, e]
    }

    /// Distances of each row of the batch, if there is a bias.
    pub fn reaches<'t>(&self, how: &How, tiles: &'t [Tiles]) -> Vec<Reach<'t>> {
        how.by.iter().flat_map(|by| tiles.iter().map(|tiles| Reach::new(by, tiles))).collect()
    }
}

/// The output, a view `[B, H, T, E]` of memory `[B, T, H, E]` (with the log-sum-exp behind it, if asked for: E + 1),
/// and the log-sum-exp `[B, H, T]`.
pub fn forward(sides: &Sides, tiles: &[Tiles], how: &How) -> (FlexTensor, FlexTensor) {
    let [b, h, t, g, _, e] = sides.sizes();
    let wide = e + usize::from(how.log_sum);
    let (mut out, mut log_sum) = (vec![0.0f32; b * t * h * wide], vec![0.0f32; b * h * t]);
    let heads = Heads::new(&mut out, [b, t, h, wide]);
    let (table, reaches) = (sides.table.to_contiguous(), sides.reaches(how, tiles));
    log_sum.par_chunks_mut(t).enumerate().for_each(|(task, log_sum)| {
        let (batch, head) = (task / h, task % h);
        let (query, group) = (Matrix::head(sides.query, batch, head), head * g / h);
        let (key, value) = (Matrix::head(sides.key, batch, group), Matrix::head(sides.value, batch, group));
        let terms = Terms::new(how.scale as f32, how.cap(), reaches.get(batch), floats(&table), [head, h]);
        let mut scores = Vec::new();
        for number in 0..t.div_ceil(tiles[batch].size) {
            let block = Block::new(&tiles[batch], number, t);
            let (first, count, width) = (block.first, block.count, block.width);
            scores.resize(scores.len().max(count * width), 0.0);
            block.scores(&mut scores, query.rows(first, count), key, &terms);
            for row in 0..count {
                log_sum[first + row] = soften(&mut scores[row * width..(row + 1) * width]);
            }
            // SAFETY: this task alone works on this head of this batch row.
            #[allow(unsafe_code)]
            let mut out = unsafe { heads.rows(batch, head, first, count) };
            if how.log_sum {
                (0..count).for_each(|row| out.set(row, e, log_sum[first + row]));
            }
            let mut out = out.narrow(e);
            for (i, run) in block.runs().enumerate() {
                let weights = Matrix::columns(&scores, [count, run.keys], run.column, width);
                out.product(weights, value.rows(run.first, run.keys), 1.0, i > 0);
            }
        }
    });
    let out = tensor(out, Shape::from([b, t, h, wide])).transpose(1, 2);
    (out, tensor(log_sum, Shape::from([b, h, t])))
}

/// Four dimensions of a tensor.
pub fn dims(tensor: &FlexTensor) -> [usize; 4] {
    let shape = tensor.layout().shape();
    [shape[0], shape[1], shape[2], shape[3]]
}
