//! Matrices of one chunk: queries and keys with their decays, and what the tokens write.

use super::{
    UpdateRule,
    chunk::{Chunk, add_log_decay},
    head::{HeadInputs, Sizes},
    triangular,
};
use crate::cpu::{
    matrix::{MatrixMut, MatrixRef},
    vector::{exp, vectorized},
};

vectorized! {
    /// exp(x) and exp(−x) of all elements.
    fn exp_all(log: &[f32], decay: &mut [f32], inverse: &mut [f32]) {
        for ((log, decay), inverse) in log.iter().zip(decay).zip(inverse) {
            *decay = exp(*log);
            *inverse = exp(-*log);
        }
    }

    /// x ⊙ factor of a row; a factor of one element applies to all.
    pub fn scale_row(x: &[f32], factor: &[f32], out: &mut [f32]) {
        if let [factor] = factor {
            for (out, x) in out.iter_mut().zip(x) {
                *out = x * factor;
            }
        } else {
            for ((out, x), factor) in out.iter_mut().zip(x).zip(factor) {
                *out = x * factor;
            }
        }
    }

    /// Multiplies the rows of a state `[D, E]` by a decay `[D]` or `[1]`.
    pub fn scale_state(state: &mut [f32], decay: &[f32], width: usize) {
        for (d, row) in state.chunks_exact_mut(width).enumerate() {
            let factor = if decay.len() == 1 { decay[0] } else { decay[d] };
            for s in row.iter_mut() {
                *s *= factor;
            }
        }
    }
}

/// Matrices of one chunk of C tokens, row-major. A task reuses the memory for all its chunks.
#[derive(Default)]
pub struct ChunkMatrices {
    pub chunk: Option<Chunk>,
    /// Decay of the first token, 0 if it has a reset, `[D]` or `[1]`.
    pub first_decay: Vec<f32>,
    /// exp(c), c the cumulative log decay after the first token, `[C, D]` or `[C, 1]`.
    pub decay: Vec<f32>,
    /// exp(−c).
    pub inverse_decay: Vec<f32>,
    /// q' = q ⊙ exp(c), `[C, D]`.
    pub query: Vec<f32>,
    /// k' = k ⊙ exp(−c), 0 for padding, `[C, D]`.
    pub key: Vec<f32>,
    /// k'' = k ⊙ exp(c), 0 for padding, `[C, D]`; delta rule only.
    pub reading_key: Vec<f32>,
    /// Values, less what the state before the chunk holds for the key (delta rule), `[C, E]`.
    pub residual: Vec<f32>,
    /// U: what the tokens write, `[C, E]`.
    pub write: Vec<f32>,
    /// k'' k'ᵀ, `[C, C]`; delta rule only.
    pub overlap: Vec<f32>,
    /// β ⊙ k'' k'ᵀ, `[C, C]`; delta rule only.
    pub system: Vec<f32>,
    /// c, `[C, D]` or `[C, 1]`.
    cumulative: Vec<f32>,
}

impl ChunkMatrices {
    /// Computes the decays, and the queries and keys with them.
    pub fn load(&mut self, head: &HeadInputs, chunk: Chunk, sizes: &Sizes) {
        let (w, d, c) = (sizes.decay, sizes.key, chunk.count);
        self.chunk = Some(chunk);
        self.first_decay.resize(w, 0.0);
        self.cumulative.clear();
        for values in [&mut self.decay, &mut self.inverse_decay] {
            values.resize(c * w, 0.0);
        }
        for values in [&mut self.query, &mut self.key, &mut self.reading_key] {
            values.resize(c * d, 0.0);
        }
        self.load_first_decay(head, chunk.first);
        self.cumulative.resize(c * w, 0.0);
        for i in 1..c {
            let (before, own) = self.cumulative[(i - 1) * w..(i + 1) * w].split_at_mut(w);
            own.copy_from_slice(before);
            if head.is_live(chunk.first + i) {
                add_log_decay(own, head, chunk.first + i);
            }
        }
        exp_all(&self.cumulative, &mut self.decay, &mut self.inverse_decay);
        for i in 0..c {
            let (t, own, columns) = (chunk.first + i, i * w..(i + 1) * w, i * d..(i + 1) * d);
            scale_row(head.query.row(t), &self.decay[own.clone()], &mut self.query[columns.clone()]);
            if !head.is_live(t) {
                self.key[columns.clone()].fill(0.0);
                self.reading_key[columns].fill(0.0);
                continue;
            }
            scale_row(head.key.row(t), &self.inverse_decay[own.clone()], &mut self.key[columns.clone()]);
            if head.rule == UpdateRule::Delta {
                scale_row(head.key.row(t), &self.decay[own], &mut self.reading_key[columns]);
            }
        }
    }

    /// Decay of the first token: 0 after a reset, 1 for padding.
    fn load_first_decay(&mut self, head: &HeadInputs, t: usize) {
        for (column, decay) in self.first_decay.iter_mut().enumerate() {
            *decay = match (head.is_live(t), head.is_reset(t)) {
                (_, true) => 0.0,
                (true, false) => exp(head.log_decay.get(t, column)),
                (false, false) => 1.0,
            };
        }
    }

    /// Computes what the tokens write, from the state with the first token's decay, `[D, E]`.
    pub fn load_writes(&mut self, head: &HeadInputs, state: &[f32], sizes: &Sizes) {
        let chunk = self.chunk.expect("a loaded chunk");
        let (d, e, c) = (sizes.key, sizes.value, chunk.count);
        self.residual.resize(c * e, 0.0);
        self.write.resize(c * e, 0.0);
        for i in 0..c {
            self.residual[i * e..(i + 1) * e].copy_from_slice(head.value.row(chunk.first + i));
        }
        let is_delta = head.rule == UpdateRule::Delta;
        if is_delta {
            let reading = MatrixRef::row_major(&self.reading_key, [c, d]);
            let state = MatrixRef::row_major(state, [d, e]);
            MatrixMut::row_major(&mut self.residual, [c, e]).gemm(reading, state, -1.0, true);
        }
        for i in 0..c {
            let columns = i * e..(i + 1) * e;
            scale_row(&self.residual[columns.clone()], &[head.strength(chunk.first + i)], &mut self.write[columns]);
        }
        if is_delta {
            self.load_system(head, chunk, d);
            triangular::solve(&self.system, &mut self.write, [c, e]);
        }
    }

    /// Computes k'' k'ᵀ and the matrix of the triangular system.
    fn load_system(&mut self, head: &HeadInputs, chunk: Chunk, d: usize) {
        let c = chunk.count;
        self.overlap.resize(c * c, 0.0);
        self.system.resize(c * c, 0.0);
        let reading = MatrixRef::row_major(&self.reading_key, [c, d]);
        let key = MatrixRef::row_major(&self.key, [c, d]);
        MatrixMut::row_major(&mut self.overlap, [c, c]).gemm(reading, key.transposed(), 1.0, false);
        for i in 0..c {
            let columns = i * c..(i + 1) * c;
            self.overlap[columns.clone()][i..].fill(0.0);
            scale_row(&self.overlap[columns.clone()], &[head.strength(chunk.first + i)], &mut self.system[columns]);
        }
    }

    /// Writes tril(q' k'ᵀ) to `scores [C, C]`.
    pub fn scores(&self, scores: &mut Vec<f32>, d: usize) {
        let c = self.chunk.expect("a loaded chunk").count;
        scores.resize(c * c, 0.0);
        let query = MatrixRef::row_major(&self.query, [c, d]);
        let key = MatrixRef::row_major(&self.key, [c, d]);
        MatrixMut::row_major(scores, [c, c]).gemm(query, key.transposed(), 1.0, false);
        drop_later(scores, c);
    }

    /// Returns exp(c) of the last token.
    pub fn last_decay(&self) -> &[f32] {
        let w = self.first_decay.len();
        &self.decay[self.decay.len() - w..]
    }

    /// Passes the state from the first token's decay to the end of the chunk: S ← exp(c_last) ⊙ (S + k'ᵀ U).
    pub fn advance(&self, state: &mut [f32], sizes: &Sizes) {
        let (d, e, c) = (sizes.key, sizes.value, self.chunk.expect("a loaded chunk").count);
        let key = MatrixRef::row_major(&self.key, [c, d]);
        let write = MatrixRef::row_major(&self.write, [c, e]);
        MatrixMut::row_major(state, [d, e]).gemm(key.transposed(), write, 1.0, true);
        scale_state(state, self.last_decay(), e);
    }
}

/// Sets the pairs above the diagonal of `[C, C]` to 0.
pub fn drop_later(pairs: &mut [f32], c: usize) {
    for i in 0..c {
        pairs[i * c..(i + 1) * c][i + 1..].fill(0.0);
    }
}
