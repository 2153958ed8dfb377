//! Forward pass of the fused scan.

use super::{
    chunk::split_segment,
    head::{SEGMENT_TOKENS, ScanTensors},
    matrices::{ChunkMatrices, scale_row, scale_state},
};
use crate::cpu::{
    matrix::{HeadsMut, MatrixMut, MatrixRef},
    tensor::{as_f32_slice, f32_tensor},
};
use crate::{exact::Arithmetic, scan::exact};
use burn::backend::flex::FlexTensor;
use burn::tensor::Shape;
use rayon::prelude::*;

/// Returns the output, and the states at the begin of segments, `[B, H, segments, D, E]`, if they are stored.
///
/// Without a state among the inputs, the output is a view `[B, H, T, E]` of memory `[B, T, H, E]`, the order that the output
/// projection reads. With a state it is that memory, followed by the state after the last token.
pub fn forward(inputs: &ScanTensors, stores_states: bool) -> (FlexTensor, Vec<f32>) {
    let sizes = inputs.sizes;
    let [b, t, h, e] = [sizes.batch, sizes.tokens, sizes.heads, sizes.value];
    let (tasks, state_len) = (b * h, sizes.state());
    let mut memory = vec![0.0f32; b * t * h * e];
    let mut last_states = match &inputs.state {
        Some(state) => as_f32_slice(state).to_vec(),
        None => vec![0.0; tasks * state_len],
    };
    let stored = if stores_states { sizes.segments() * state_len } else { 0 };
    let mut segment_states = vec![0.0f32; tasks * stored];
    let out = HeadsMut::new(&mut memory, [b, t, h, e]);
    let run = |task: usize, state: &mut [f32], stored: &mut [f32]| {
        // SAFETY: this task alone works on this head of this sequence.
        #[allow(unsafe_code)]
        let out = |first, count| unsafe { out.rows(task / h, task % h, first, count) };
        match inputs.arithmetic {
            Arithmetic::Fast => run_head(inputs, [task / h, task % h], state, stored, out),
            Arithmetic::Exact => exact::run_head(inputs, [task / h, task % h], state, out),
        }
    };
    let states = last_states.par_chunks_mut(state_len).enumerate();
    if stores_states {
        states.zip(segment_states.par_chunks_mut(stored)).for_each(|((task, state), stored)| run(task, state, stored));
    } else {
        states.for_each(|(task, state)| run(task, state, &mut []));
    }
    let out = if inputs.state.is_some() {
        memory.extend_from_slice(&last_states);
        let len = memory.len();
        f32_tensor(memory, Shape::from([1, 1, 1, len]))
    } else {
        f32_tensor(memory, Shape::from([b, t, h, e])).transpose(1, 2)
    };
    (out, segment_states)
}

/// Runs one head: `state [D, E]` is that before the first token, then that after the last. `out(first, count)` are rows of
/// the output.
fn run_head<'a>(
    inputs: &ScanTensors,
    [batch, head]: [usize; 2],
    state: &mut [f32],
    stored: &mut [f32],
    out: impl Fn(usize, usize) -> MatrixMut<'a>,
) {
    let sizes = inputs.sizes;
    let head = inputs.head(batch, head);
    let (d, e) = (sizes.key, sizes.value);
    let (mut matrices, mut scores) = (ChunkMatrices::default(), Vec::new());
    let mut stored = stored.chunks_mut(sizes.state());
    for first in (0..sizes.tokens).step_by(SEGMENT_TOKENS) {
        if let Some(stored) = stored.next() {
            stored.copy_from_slice(state);
        }
        for chunk in split_segment(&head, first..sizes.tokens.min(first + SEGMENT_TOKENS), sizes.decay) {
            matrices.load(&head, chunk, &sizes);
            scale_state(state, &matrices.first_decay, e);
            matrices.load_writes(&head, state, &sizes);
            matrices.scores(&mut scores, d);
            let c = chunk.count;
            let mut out = out(chunk.first, c);
            if head.skip != 0.0 {
                for i in 0..c {
                    scale_row(head.value.row(chunk.first + i), &[head.skip], out.row_mut(i));
                }
            }
            let write = MatrixRef::row_major(&matrices.write, [c, e]);
            out.gemm(MatrixRef::row_major(&scores, [c, c]), write, 1.0, head.skip != 0.0);
            let query = MatrixRef::row_major(&matrices.query, [c, d]);
            out.gemm(query, MatrixRef::row_major(state, [d, e]), 1.0, true);
            matrices.advance(state, &sizes);
        }
    }
}
