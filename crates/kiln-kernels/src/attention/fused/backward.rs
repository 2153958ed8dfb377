//! Backward: the weights P are made again from scores and log-sum-exp;
//! dV = Pᵀ dO, dP = dO Vᵀ, dS = P ⊙ (dP − D) with D = Σ dO ⊙ O − dL, dQ = dS K, dK = dSᵀ Q; L is the log-sum-exp.

use super::{SavedTensors, forward::AttentionInputs, query_block::QueryBlock, score_terms::ScoreTerms};
use crate::cpu::{
    matrix::{HeadsMut, MatrixMut, MatrixRef},
    tensor::{as_f32_slice, f32_tensor},
    vector::{exp, vectorized},
};
use burn::backend::flex::FlexTensor;
use burn::tensor::Shape;
use kiln_spec::plan::TilePlan;
use rayon::prelude::*;

vectorized! {
    /// Weights of scores.
    fn weights_from_scores(scores: &[f32], log_sum: f32, weights: &mut [f32]) {
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
struct GradientBuffers<'a> {
    query: HeadsMut<'a>,
    key: HeadsMut<'a>,
    value: HeadsMut<'a>,
}

/// Gradients of query, key and value, as views `[B, H, T, D]`, and of the table `[N, H]`.
pub fn backward(kept: &SavedTensors<FlexTensor>, tiles: &[TilePlan], gradient: &FlexTensor) -> [FlexTensor; 4] {
    let sides = AttentionInputs { query: &kept.query, key: &kept.key, value: &kept.value, table: &kept.table };
    let ([b, h, t, g, s, e], d) = (sides.sizes(), kept.query.layout().shape()[3]);
    let shapes = [[b, t, h, d], [b, s, g, d], [b, s, g, e]];
    let [mut dq, mut dk, mut dv] = shapes.map(|shape| vec![0.0f32; shape.iter().product()]);
    let out = GradientBuffers {
        query: HeadsMut::new(&mut dq, shapes[0]),
        key: HeadsMut::new(&mut dk, shapes[1]),
        value: HeadsMut::new(&mut dv, shapes[2]),
    };
    let (table, reaches) = (kept.table.to_contiguous(), sides.distance_ranges(&kept.params, tiles));
    let entries = table.layout().shape()[0];
    // A task works on all queries of a group, so that nobody else adds to its keys and values.
    let mut parts = vec![0.0f32; b * h * entries];
    parts.par_chunks_mut(h / g * entries).enumerate().for_each(|(task, parts)| {
        let (batch, group) = (task / g, task % g);
        let mut room = Scratch::default();
        for (head, part) in (group * (h / g)..).zip(parts.chunks_mut(entries)) {
            let how = &kept.params;
            let terms = ScoreTerms::new(
                how.scale as f32,
                how.softcap_f32(),
                reaches.get(batch),
                as_f32_slice(&table),
                [head, h],
            );
            for number in 0..t.div_ceil(tiles[batch].tile_size) {
                let block = QueryBlock::new(&tiles[batch], number, t);
                backward_block(kept, gradient, &out, (batch, head, group), &block, &terms, (&mut room, part));
            }
        }
    });
    let view = |values, shape: [usize; 4]| f32_tensor(values, Shape::from(shape)).transpose(1, 2);
    [view(dq, shapes[0]), view(dk, shapes[1]), view(dv, shapes[2]), sum_table_gradient(&parts, [b, h, entries])]
}

/// The sum over the batch, in order: `[B, H, N] → [N, H]`.
fn sum_table_gradient(parts: &[f32], [b, h, entries]: [usize; 3]) -> FlexTensor {
    let mut sum = vec![0.0; h * entries];
    for batch in 0..b {
        sum.iter_mut().zip(&parts[batch * h * entries..]).for_each(|(sum, part)| *sum += part);
    }
    f32_tensor(sum, Shape::from([h, entries])).transpose(0, 1)
}

/// Scores, weights and gradients of a block.
#[derive(Default)]
struct Scratch([Vec<f32>; 3]);

fn backward_block(
    kept: &SavedTensors<FlexTensor>,
    gradient: &FlexTensor,
    out: &GradientBuffers,
    (batch, head, group): (usize, usize, usize),
    block: &QueryBlock,
    terms: &ScoreTerms,
    (room, part): (&mut Scratch, &mut [f32]),
) {
    let (first, count, width) = (block.first_query, block.num_queries, block.num_keys);
    let Scratch([scores, p, ds]) = room;
    for room in [&mut *scores, &mut *p, &mut *ds] {
        room.resize(room.len().max(count * width), 0.0);
    }
    let e = kept.value.layout().shape()[3];
    let rows = |tensor| MatrixRef::head(tensor, batch, head).rows(first, count);
    let (query, doo, o) = (rows(&kept.query), rows(gradient), rows(&kept.out));
    let (key, value) = (MatrixRef::head(&kept.key, batch, group), MatrixRef::head(&kept.value, batch, group));
    block.scores(scores, query, key, terms);
    for run in block.key_runs() {
        MatrixMut::columns(ds, [count, run.num_keys], run.score_column, width).gemm(
            doo.narrow(e),
            value.rows(run.first_key, run.num_keys).transposed(),
            1.0,
            false,
        );
    }
    let [_, h, t, ..] = [0, kept.query.layout().shape()[1], kept.query.layout().shape()[2]];
    let log_sum = &as_f32_slice(&kept.log_sum_exp)[(batch * h + head) * t + first..][..count];
    for row in 0..count {
        let cells = row * width..(row + 1) * width;
        let (p, ds) = (&mut p[cells.clone()], &mut ds[cells.clone()]);
        if log_sum[row] == f32::NEG_INFINITY {
            p.fill(0.0);
            ds.fill(0.0);
            continue;
        }
        weights_from_scores(&scores[cells.clone()], log_sum[row], p);
        let from_log_sum = if kept.params.needs_log_sum_exp { doo.get(row, e) } else { 0.0 };
        scores_gradient(ds, p, doo.narrow(e).row_dot(&o.narrow(e), row) - from_log_sum);
        terms.softcap_backward(ds, &scores[cells]);
        block.add_table_gradient(ds, row, terms, part);
    }
    // SAFETY: this task alone works on this group of this batch row, and so on its query heads.
    #[allow(unsafe_code)]
    let mut dq = unsafe { out.query.rows(batch, head, first, count) };
    for (i, run) in block.key_runs().enumerate() {
        let [p, ds] = [&*p, &*ds].map(|x| MatrixRef::columns(x, [count, run.num_keys], run.score_column, width));
        // SAFETY: as above.
        #[allow(unsafe_code)]
        let [mut dk, mut dv] =
            unsafe { [&out.key, &out.value].map(|o| o.rows(batch, group, run.first_key, run.num_keys)) };
        dq.gemm(ds, key.rows(run.first_key, run.num_keys), terms.scale, i > 0);
        dk.gemm(ds.transposed(), query, terms.scale, true);
        dv.gemm(p.transposed(), doo.narrow(e), 1.0, true);
    }
}
