//! Backward: the weights P are made again from scores and log-sum-exp;
//! dV = Pᵀ dO, dP = dO Vᵀ, dS = P ⊙ (dP − D) with D = Σ dO ⊙ O, dQ = dS K, dK = dSᵀ Q.

use super::{
    Kept,
    block::{Block, Heads, Matrix, MatrixMut, ROWS},
    forward::dims,
};
use crate::cpu::{
    tensor::{floats, tensor},
    vector::{exp, vectorised},
};
use burn::backend::flex::FlexTensor;
use burn::tensor::Shape;
use rayon::prelude::*;

vectorised! {
    /// Scores to weights in place.
    fn weights(scores: &mut [f32], hidden: &[u8], scale: f32, log_sum: f32) {
        for (score, hidden) in scores.iter_mut().zip(hidden) {
            let weight = exp(*score * scale - log_sum);
            *score = if *hidden == 0 { weight } else { 0.0 };
        }
    }

    /// dP to dS in place.
    fn scores_gradient(gradient: &mut [f32], weights: &[f32], along: f32, scale: f32) {
        for (gradient, weight) in gradient.iter_mut().zip(weights) {
            *gradient = weight * (*gradient - along) * scale;
        }
    }
}

/// Where gradients go, `[B, T, H, D]` in memory.
struct Out<'a> {
    query: Heads<'a>,
    key: Heads<'a>,
    value: Heads<'a>,
}

/// Gradients of query, key and value, as views `[B, H, T, D]`.
pub fn backward(kept: &Kept<FlexTensor, FlexTensor>, gradient: &FlexTensor) -> [FlexTensor; 3] {
    let ([b, h, t, d], [_, g, s, e]) = (dims(&kept.query), dims(&kept.value));
    let shapes = [[b, t, h, d], [b, s, g, d], [b, s, g, e]];
    let [mut dq, mut dk, mut dv] = shapes.map(|shape| vec![0.0f32; shape.iter().product()]);
    let out = Out {
        query: Heads::new(&mut dq, shapes[0]),
        key: Heads::new(&mut dk, shapes[1]),
        value: Heads::new(&mut dv, shapes[2]),
    };
    let hidden = kept.hidden.to_contiguous();
    let hidden = &hidden.bytes()[..b * t * s];
    // A task works on all queries of a group, so that nobody else adds to its keys and values.
    (0..b * g).into_par_iter().for_each(|task| {
        let (batch, group) = (task / g, task % g);
        let mut room = (vec![0.0; ROWS * s], vec![0.0; ROWS * s]);
        for head in group * (h / g)..(group + 1) * (h / g) {
            for first in (0..t).step_by(ROWS) {
                let block = Block::new(hidden, [t, s], batch, first, ROWS.min(t - first));
                step(kept, gradient, &out, (batch, head, group, first), &block, &mut room);
            }
        }
    });
    let view = |values, shape: [usize; 4]| tensor(values, Shape::from(shape)).transpose(1, 2);
    [view(dq, shapes[0]), view(dk, shapes[1]), view(dv, shapes[2])]
}

fn step(
    kept: &Kept<FlexTensor, FlexTensor>,
    gradient: &FlexTensor,
    out: &Out,
    (batch, head, group, first): (usize, usize, usize, usize),
    block: &Block,
    (scores, gradients): &mut (Vec<f32>, Vec<f32>),
) {
    let [_, h, t, _] = dims(&kept.query);
    let (count, width, scale) = (block.count, block.width(), kept.scale as f32);
    let size = [count, width];
    let rows = |tensor| Matrix::head(tensor, batch, head).rows(first, count);
    let keys = |tensor| Matrix::head(tensor, batch, group).rows(block.span.0, width);
    let (query, doo, o) = (rows(&kept.query), rows(gradient), rows(&kept.out));
    let (key, value) = (keys(&kept.key), keys(&kept.value));
    let log_sum = &floats(&kept.log_sum)[(batch * h + head) * t + first..][..count];

    MatrixMut::dense(scores, size).product(query, key.transposed(), 1.0, false);
    MatrixMut::dense(gradients, size).product(doo, value.transposed(), 1.0, false);
    for row in 0..count {
        let cells = row * width..(row + 1) * width;
        weights(&mut scores[cells.clone()], block.row(row), scale, log_sum[row]);
        scores_gradient(&mut gradients[cells.clone()], &scores[cells], doo.row_dot(&o, row), scale);
    }
    let (p, ds) = (Matrix::dense(scores, size), Matrix::dense(gradients, size));
    // SAFETY: this task alone works on this group of this batch row, and so on its query heads.
    #[allow(unsafe_code)]
    let (mut dq, mut dk, mut dv) = unsafe {
        (
            out.query.rows(batch, head, first, count),
            out.key.rows(batch, group, block.span.0, width),
            out.value.rows(batch, group, block.span.0, width),
        )
    };
    dq.product(ds, key, 1.0, false);
    dk.product(ds.transposed(), query, 1.0, true);
    dv.product(p.transposed(), doo, 1.0, true);
}
