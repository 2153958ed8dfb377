//! Forward: softmax of a block of rows, then its product with the values.

use super::block::{Block, Heads, Matrix, MatrixMut, ROWS};
use crate::cpu::{
    tensor::tensor,
    vector::{exp, most, sum, vectorised},
};
use burn::backend::flex::FlexTensor;
use burn::tensor::Shape;
use rayon::prelude::*;

vectorised! {
    /// Scores to weights in place; returns the log-sum-exp. Hidden keys weigh 0.
    fn soften(scores: &mut [f32], hidden: &[u8], scale: f32) -> f32 {
        for (score, hidden) in scores.iter_mut().zip(hidden) {
            *score = if *hidden == 0 { *score * scale } else { f32::NEG_INFINITY };
        }
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

/// The output, a view `[B, H, T, E]` of memory `[B, T, H, E]`, and the log-sum-exp `[B, H, T]`.
pub fn forward(
    q: &FlexTensor,
    k: &FlexTensor,
    v: &FlexTensor,
    hidden: &FlexTensor,
    scale: f64,
) -> (FlexTensor, FlexTensor) {
    let ([b, h, t, _], [_, g, s, _]) = (dims(q), dims(k));
    let e = dims(v)[3];
    let hidden = hidden.to_contiguous();
    let hidden = &hidden.bytes()[..b * t * s];
    let (mut out, mut log_sum) = (vec![0.0f32; b * t * h * e], vec![0.0f32; b * h * t]);
    let heads = Heads::new(&mut out, [b, t, h, e]);
    log_sum.par_chunks_mut(t).enumerate().for_each(|(task, log_sum)| {
        let (batch, head) = (task / h, task % h);
        let (query, group) = (Matrix::head(q, batch, head), head * g / h);
        let (key, value) = (Matrix::head(k, batch, group), Matrix::head(v, batch, group));
        let mut scores = vec![0.0; ROWS * s];
        for first in (0..t).step_by(ROWS) {
            let block = Block::new(hidden, [t, s], batch, first, ROWS.min(t - first));
            let (size, width) = ([block.count, block.width()], block.width());
            let keys = key.rows(block.span.0, width).transposed();
            MatrixMut::dense(&mut scores, size).product(query.rows(first, block.count), keys, 1.0, false);
            for row in 0..block.count {
                let scores = &mut scores[row * width..(row + 1) * width];
                log_sum[first + row] = soften(scores, block.row(row), scale as f32);
            }
            // SAFETY: this task alone works on this head of this batch row.
            #[allow(unsafe_code)]
            let mut out = unsafe { heads.rows(batch, head, first, block.count) };
            out.product(Matrix::dense(&scores, size), value.rows(block.span.0, width), 1.0, false);
        }
    });
    let out = tensor(out, Shape::from([b, t, h, e])).transpose(1, 2);
    (out, tensor(log_sum, Shape::from([b, h, t])))
}

/// Four dimensions of a tensor.
pub fn dims(tensor: &FlexTensor) -> [usize; 4] {
    let shape = tensor.layout().shape();
    [shape[0], shape[1], shape[2], shape[3]]
}
