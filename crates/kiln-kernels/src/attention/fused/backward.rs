//! Backward: the weights P are made again from scores and log-sum-exp;
//! dV = Pᵀ dO, dP = dO Vᵀ, dS = P ⊙ (dP − D) with D = Σ dO ⊙ O − dL, dQ = dS K, dK = dSᵀ Q; L is the log-sum-exp.

use super::{Kept, block::Block, forward::Sides, terms::Terms};
use crate::cpu::{
    matrix::{Heads, Matrix, MatrixMut},
    tensor::{floats, tensor},
    vector::{exp, vectorised},
};
use burn::backend::flex::FlexTensor;
use burn::tensor::Shape;
use kiln_spec::plan::Tiles;
use rayon::prelude::*;

vectorised! {
    /// Weights of scores.
    fn weights(scores: &[f32], log_sum: f32, weights: &mut [f32]) {
        for (score, weight) in scores.iter().zip(weights.iter_mut()) {
            *weight = exp(*score - log_sum);
        }
    }

    /// dP to dS in place.
    fn scores_gradient(gradient: &mut [f32], weights: &[f32], along: f32) {
        for (gradient, weight) in gradient.iter_mut().zip(weights) {
            *gradient = weight * (*gradient - along);
        }
    }
}

/// Where gradients go, `[B, T, H, D]` in memory.
struct Out<'a> {
    query: Heads<'a>,
    key: Heads<'a>,
    value: Heads<'a>,
}

/// Gradients of query, key and value, as views `[B, H, T, D]`, and of the table `[N, H]`.
pub fn backward(kept: &Kept<FlexTensor>, tiles: &[Tiles], gradient: &FlexTensor) -> [FlexTensor; 4] {
    let sides = Sides { query: &kept.query, key: &kept.key, value: &kept.value, table: &kept.table };
    let ([b, h, t, g, s, e], d) = (sides.sizes(), kept.query.layout().shape()[3]);
    let shapes = [[b, t, h, d], [b, s, g, d], [b, s, g, e]];
    let [mut dq, mut dk, mut dv] = shapes.map(|shape| vec![0.0f32; shape.iter().product()]);
    let out = Out {
        query: Heads::new(&mut dq, shapes[0]),
        key: Heads::new(&mut dk, shapes[1]),
        value: Heads::new(&mut dv, shapes[2]),
    };
    let (table, reaches) = (kept.table.to_contiguous(), sides.reaches(&kept.how, tiles));
    let entries = table.layout().shape()[0];
    // A task works on all queries of a group, so that nobody else adds to its keys and values.
    let mut parts = vec![0.0f32; b * h * entries];
    parts.par_chunks_mut(h / g * entries).enumerate().for_each(|(task, parts)| {
        let (batch, group) = (task / g, task % g);
        let mut room = Room::default();
        for (head, part) in (group * (h / g)..).zip(parts.chunks_mut(entries)) {
            let how = &kept.how;
            let terms = Terms::new(how.scale as f32, how.cap(), reaches.get(batch), floats(&table), [head, h]);
            for number in 0..t.div_ceil(tiles[batch].size) {
                let block = Block::new(&tiles[batch], number, t);
                step(kept, gradient, &out, (batch, head, group), &block, &terms, (&mut room, part));
            }
        }
    });
    let view = |values, shape: [usize; 4]| tensor(values, Shape::from(shape)).transpose(1, 2);
    [view(dq, shapes[0]), view(dk, shapes[1]), view(dv, shapes[2]), table_gradient(&parts, [b, h, entries])]
}

/// The sum over the batch, in order: `[B, H, N] → [N, H]`.
fn table_gradient(parts: &[f32], [b, h, entries]: [usize; 3]) -> FlexTensor {
    let mut sum = vec![0.0; h * entries];
    for batch in 0..b {
        sum.iter_mut().zip(&parts[batch * h * entries..]).for_each(|(sum, part)| *sum += part);
    }
    tensor(sum, Shape::from([h, entries])).transpose(0, 1)
}

/// Scores, weights and gradients of a block.
#[derive(Default)]
struct Room([Vec<f32>; 3]);

fn step(
    kept: &Kept<FlexTensor>,
    gradient: &FlexTensor,
    out: &Out,
    (batch, head, group): (usize, usize, usize),
    block: &Block,
    terms: &Terms,
    (room, part): (&mut Room, &mut [f32]),
) {
    let (first, count, width) = (block.first, block.count, block.width);
    let Room([scores, p, ds]) = room;
    for room in [&mut *scores, &mut *p, &mut *ds] {
        room.resize(room.len().max(count * width), 0.0);
    }
    let e = kept.value.layout().shape()[3];
    let rows = |tensor| Matrix::head(tensor, batch, head).rows(first, count);
    let (query, doo, o) = (rows(&kept.query), rows(gradient), rows(&kept.out));
    let (key, value) = (Matrix::head(&kept.key, batch, group), Matrix::head(&kept.value, batch, group));
    block.scores(scores, query, key, terms);
    for run in block.runs() {
        MatrixMut::columns(ds, [count, run.keys], run.column, width).product(
            doo.narrow(e),
            value.rows(run.first, run.keys).transposed(),
            1.0,
            false,
        );
    }
    let [_, h, t, ..] = [0, kept.query.layout().shape()[1], kept.query.layout().shape()[2]];
    let log_sum = &floats(&kept.log_sum)[(batch * h + head) * t + first..][..count];
    for row in 0..count {
        let cells = row * width..(row + 1) * width;
        let (p, ds) = (&mut p[cells.clone()], &mut ds[cells.clone()]);
        if log_sum[row] == f32::NEG_INFINITY {
            p.fill(0.0);
            ds.fill(0.0);
            continue;
        }
        weights(&scores[cells.clone()], log_sum[row], p);
        let from_log_sum = if kept.how.log_sum { doo.get(row, e) } else { 0.0 };
        scores_gradient(ds, p, doo.narrow(e).row_dot(&o.narrow(e), row) - from_log_sum);
        terms.unbend(ds, &scores[cells]);
        block.table_gradient(ds, row, terms, part);
    }
    // SAFETY: this task alone works on this group of this batch row, and so on its query heads.
    #[allow(unsafe_code)]
    let mut dq = unsafe { out.query.rows(batch, head, first, count) };
    for (i, run) in block.runs().enumerate() {
        let [p, ds] = [&*p, &*ds].map(|x| Matrix::columns(x, [count, run.keys], run.column, width));
        // SAFETY: as above.
        #[allow(unsafe_code)]
        let [mut dk, mut dv] = unsafe { [&out.key, &out.value].map(|o| o.rows(batch, group, run.first, run.keys)) };
        dq.product(ds, key.rows(run.first, run.keys), terms.scale, i > 0);
        dk.product(ds.transposed(), query, terms.scale, true);
        dv.product(p.transposed(), doo.narrow(e), 1.0, true);
    }
}
