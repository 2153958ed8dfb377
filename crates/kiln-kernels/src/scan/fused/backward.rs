//! Backward pass of the fused scan: heads in parallel, segments and chunks from last to first.

use super::{
    chunk::{Chunk, split_segment},
    chunk_backward::{ChunkBackward, GradientRows, Scratch},
    head::{HeadInputs, SEGMENT_TOKENS, ScanTensors, Sizes},
    matrices::{ChunkMatrices, scale_state},
};
use crate::cpu::{
    matrix::{HeadsMut, MatrixRef},
    tensor::{f32_tensor, par_fill_rows, with_adjacent_columns},
};
use burn::backend::flex::FlexTensor;
use burn::tensor::Shape;
use rayon::prelude::*;

/// Gradients in memory: query and key `[B, T, H, D]`, value `[B, T, H, E]`, log decay `[B, T, H, W]`, strength
/// `[B, T, H, 1]`.
struct GradientBuffers<'a> {
    query: HeadsMut<'a>,
    key: HeadsMut<'a>,
    value: HeadsMut<'a>,
    log_decay: HeadsMut<'a>,
    strength: HeadsMut<'a>,
}

/// Returns the gradients of query, key, value, log decay, strength and skip; those of absent inputs are `None`.
pub fn backward(inputs: &ScanTensors, segment_states: &[f32], gradient: &FlexTensor) -> [Option<FlexTensor>; 6] {
    let sizes = inputs.sizes;
    let Sizes { batch: b, groups: g, heads: h, tokens: t, key: d, value: e, decay: w } = sizes;
    let gradient = with_adjacent_columns(gradient);
    let shapes = [[b, t, h, d], [b, t, h, d], [b, t, h, e], [b, t, h, w], [b, t, h, 1]];
    let [mut dq, mut dk, mut dv, mut dg, mut db] = shapes.map(|shape| vec![0.0f32; shape.iter().product()]);
    let buffers = GradientBuffers {
        query: HeadsMut::new(&mut dq, shapes[0]),
        key: HeadsMut::new(&mut dk, shapes[1]),
        value: HeadsMut::new(&mut dv, shapes[2]),
        log_decay: HeadsMut::new(&mut dg, shapes[3]),
        strength: HeadsMut::new(&mut db, shapes[4]),
    };
    let mut skip_gradients = vec![0.0f32; b * h];
    let states = segment_states.par_chunks(sizes.segments() * sizes.state());
    skip_gradients.par_iter_mut().zip(states).enumerate().for_each(|(task, (skip, states))| {
        let (batch, head) = (task / h, task % h);
        let rows = |chunk: Chunk| {
            let Chunk { first, count } = chunk;
            // SAFETY: this task alone works on this head of this sequence.
            #[allow(unsafe_code)]
            unsafe {
                GradientRows {
                    query: buffers.query.rows(batch, head, first, count),
                    key: buffers.key.rows(batch, head, first, count),
                    value: buffers.value.rows(batch, head, first, count),
                    log_decay: buffers.log_decay.rows(batch, head, first, count),
                    strength: buffers.strength.rows(batch, head, first, count),
                }
            }
        };
        let head = HeadBackward {
            head: inputs.head(batch, head),
            gradient: MatrixRef::head(&gradient, batch, head),
            states,
            sizes,
        };
        *skip = head.run(rows);
    });
    let skip = (0..h).map(|head| (0..b).map(|batch| skip_gradients[batch * h + head]).sum()).collect();
    let view = |values, shape: [usize; 4]| Some(f32_tensor(values, Shape::from(shape)).transpose(1, 2));
    [
        view(sum_heads(dq, [b * t, h, d], g), [b, t, g, d]),
        view(sum_heads(dk, [b * t, h, d], g), [b, t, g, d]),
        view(dv, shapes[2]),
        view(dg, shapes[3]),
        if inputs.has_strength() { view(db, shapes[4]) } else { None },
        inputs.has_skip().then(|| f32_tensor(skip, Shape::from([h]))),
    ]
}

/// Sum over the heads of each group in ascending order, `[N, H, D] → [N, G, D]`.
fn sum_heads(values: Vec<f32>, [rows, h, d]: [usize; 3], g: usize) -> Vec<f32> {
    if g == h {
        return values;
    }
    let mut out = vec![0.0; rows * g * d];
    par_fill_rows(&mut out, d, |row, out| {
        for head in values[row * (h / g) * d..(row + 1) * (h / g) * d].chunks(d) {
            out.iter_mut().zip(head).for_each(|(out, value)| *out += value);
        }
    });
    out
}

/// Backward pass of one head of one sequence.
struct HeadBackward<'a> {
    head: HeadInputs<'a>,
    /// Gradient of the output, `[T, E]`.
    gradient: MatrixRef<'a>,
    /// States at the begin of segments, `[segments, D, E]`.
    states: &'a [f32],
    sizes: Sizes,
}

impl HeadBackward<'_> {
    /// Runs the segments from last to first; `rows` are the gradients of a chunk in memory. Returns the gradient of `skip`.
    fn run<'m>(&self, rows: impl Fn(Chunk) -> GradientRows<'m>) -> f32 {
        let (sizes, len) = (self.sizes, self.sizes.state());
        let (mut matrices, mut scratch) = (ChunkMatrices::default(), Scratch::default());
        let mut state_gradient = vec![0.0f32; len];
        let mut skip = 0.0;
        for segment in (0..sizes.segments()).rev() {
            let first = segment * SEGMENT_TOKENS;
            let chunks = split_segment(&self.head, first..sizes.tokens.min(first + SEGMENT_TOKENS), sizes.decay);
            let before = self.states_before(&chunks, segment, &mut matrices);
            for (number, chunk) in chunks.iter().enumerate().rev() {
                // After the last chunk of all, dS is 0, and the state isn't needed.
                let after = match before.get(number + 1) {
                    Some(state) => Some(&state[..]),
                    None => self.states.get((segment + 1) * len..(segment + 2) * len),
                };
                let mut state = before[number].clone();
                matrices.load(&self.head, *chunk, &sizes);
                scale_state(&mut state, &matrices.first_decay, sizes.value);
                matrices.load_writes(&self.head, &state, &sizes);
                let step = ChunkBackward {
                    head: &self.head,
                    gradient: self.gradient.rows(chunk.first, chunk.count),
                    sizes,
                    matrices: &matrices,
                    chunk: *chunk,
                    state: &state,
                };
                skip += step.run(&mut scratch, after, &mut state_gradient, &mut rows(*chunk));
            }
        }
        skip
    }

    /// States before each chunk of a segment.
    fn states_before(&self, chunks: &[Chunk], segment: usize, matrices: &mut ChunkMatrices) -> Vec<Vec<f32>> {
        let len = self.sizes.state();
        let mut states = vec![self.states[segment * len..(segment + 1) * len].to_vec()];
        for (number, chunk) in chunks[1..].iter().enumerate() {
            let mut state = states[number].clone();
            // A chunk that begins with a reset reads nothing of the state before it.
            if !self.head.is_reset(chunk.first) {
                matrices.load(&self.head, chunks[number], &self.sizes);
                scale_state(&mut state, &matrices.first_decay, self.sizes.value);
                matrices.load_writes(&self.head, &state, &self.sizes);
                matrices.advance(&mut state, &self.sizes);
            }
            states.push(state);
        }
        states
    }
}
