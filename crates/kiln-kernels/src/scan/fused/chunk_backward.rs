//! Backward pass of one chunk.
//!
//! With the names of [`ChunkMatrices`], dS the gradient of the state after a chunk, S the state before it with the first
//! token's decay, A = tril(q' k'ᵀ), L = exp(c_last) and R = β ⊙ P the right side of the triangular system:
//!
//! * dZ = L ⊙ dS, dU = Aᵀ dO + k' dZ, dA = tril(dO Uᵀ)
//! * dq' = dA k' + dO Sᵀ, dk' = dAᵀ q' + U dZᵀ, dS ← dZ + q'ᵀ dO
//! * dR = dU, or for the delta rule the solution of (I + M)ᵀ dR = dU; dβ = rows of dR · P; dP = β dR, dv = dP + skip · dO
//! * delta rule, with F = −stril(dR Uᵀ) and B = k'' k'ᵀ: dβ += rows of F · B; dk'' = (β F) k' − dP Sᵀ,
//!   dk' += (β F)ᵀ k'', dS −= k''ᵀ dP
//! * dc = q' dq' − k' dk' + k'' dk'', and at the last token Σ dS · S_after; dg of a token is the sum of dc from it to the end
//!   of the chunk. The first token's dg is Σ dS · S.

use super::{
    UpdateRule,
    chunk::Chunk,
    head::{HeadInputs, Sizes},
    matrices::{ChunkMatrices, drop_later, scale_row, scale_state},
    triangular,
};
use crate::cpu::{
    matrix::{MatrixMut, MatrixRef},
    vector::{sum, vectorized},
};

vectorized! {
    /// Σ a b.
    fn dot(a: &[f32], b: &[f32]) -> f32 {
        sum(a.len(), |i| a[i] * b[i])
    }

    /// out += sign · a ⊙ b; with one output element, the sum of all products.
    fn add_products(out: &mut [f32], a: &[f32], b: &[f32], sign: f32) {
        if let [out] = out {
            *out += sign * sum(a.len(), |i| a[i] * b[i]);
        } else {
            for ((out, a), b) in out.iter_mut().zip(a).zip(b) {
                *out += sign * a * b;
            }
        }
    }

    /// out += a ⊙ x; a of one element applies to all.
    fn add_scaled(out: &mut [f32], a: &[f32], x: &[f32]) {
        if let [a] = a {
            for (out, x) in out.iter_mut().zip(x) {
                *out += a * x;
            }
        } else {
            for ((out, a), x) in out.iter_mut().zip(a).zip(x) {
                *out += a * x;
            }
        }
    }
}

/// Gradients of a chunk's rows in memory.
pub struct GradientRows<'a> {
    pub query: MatrixMut<'a>,
    pub key: MatrixMut<'a>,
    pub value: MatrixMut<'a>,
    pub log_decay: MatrixMut<'a>,
    pub strength: MatrixMut<'a>,
}

/// Memory of one chunk's gradients, row-major. A task reuses it for all its chunks.
#[derive(Default)]
pub struct Scratch {
    scores: Vec<f32>,
    scores_gradient: Vec<f32>,
    overlap_gradient: Vec<f32>,
    query: Vec<f32>,
    key: Vec<f32>,
    reading_key: Vec<f32>,
    write: Vec<f32>,
    decay: Vec<f32>,
}

/// Backward pass of one chunk.
pub struct ChunkBackward<'a> {
    pub head: &'a HeadInputs<'a>,
    /// Gradient of the output of the chunk's tokens, `[C, E]`.
    pub gradient: MatrixRef<'a>,
    pub sizes: Sizes,
    pub matrices: &'a ChunkMatrices,
    pub chunk: Chunk,
    /// State before the chunk with the first token's decay, `[D, E]`.
    pub state: &'a [f32],
}

impl ChunkBackward<'_> {
    /// Writes the gradients of the chunk's tokens. `state_gradient` is that of the state after the chunk, then that of the
    /// state before it. Returns the gradient of `skip`.
    pub fn run(
        &self,
        scratch: &mut Scratch,
        after: Option<&[f32]>,
        state_gradient: &mut [f32],
        rows: &mut GradientRows,
    ) -> f32 {
        let (sizes, c) = (&self.sizes, self.chunk.count);
        let (d, e, w) = (sizes.key, sizes.value, sizes.decay);
        scratch.decay.clear();
        scratch.decay.resize(c * w, 0.0);
        if let Some(after) = after {
            self.add_state_products(&mut scratch.decay[(c - 1) * w..], after, state_gradient);
        }
        scale_state(state_gradient, self.matrices.last_decay(), e);
        self.output_gradients(scratch, state_gradient);
        let matrix = |values| MatrixRef::row_major(values, [c, d]);
        let out = self.gradient;
        MatrixMut::row_major(state_gradient, [d, e]).gemm(matrix(&self.matrices.query).transposed(), out, 1.0, true);
        let skip = self.write_gradients(scratch, state_gradient, rows);
        self.decay_gradients(scratch, rows);
        let mut first = vec![0.0; w];
        self.add_state_products(&mut first, self.state, state_gradient);
        rows.log_decay.row_mut(0).copy_from_slice(&first);
        if !self.head.is_live(self.chunk.first) {
            rows.log_decay.row_mut(0).fill(0.0);
        }
        scale_state(state_gradient, &self.matrices.first_decay, e);
        skip
    }

    /// Adds Σ_e state · gradient of each key dimension to `decay`.
    fn add_state_products(&self, decay: &mut [f32], state: &[f32], gradient: &[f32]) {
        let e = self.sizes.value;
        for (row, (state, gradient)) in state.chunks(e).zip(gradient.chunks(e)).enumerate() {
            let column = if decay.len() == 1 { 0 } else { row };
            decay[column] += dot(state, gradient);
        }
    }

    /// dU, dq' and dk' from dO and dZ.
    fn output_gradients(&self, scratch: &mut Scratch, state_gradient: &[f32]) {
        let (sizes, c, matrices) = (&self.sizes, self.chunk.count, self.matrices);
        let (d, e) = (sizes.key, sizes.value);
        let out = self.gradient;
        let dz = MatrixRef::row_major(state_gradient, [d, e]);
        let state = MatrixRef::row_major(self.state, [d, e]);
        let [query, key] = [&matrices.query, &matrices.key].map(|values| MatrixRef::row_major(values, [c, d]));
        let write = MatrixRef::row_major(&matrices.write, [c, e]);
        matrices.scores(&mut scratch.scores, d);
        for (values, len) in [
            (&mut scratch.scores_gradient, c * c),
            (&mut scratch.write, c * e),
            (&mut scratch.query, c * d),
            (&mut scratch.key, c * d),
        ] {
            values.resize(len, 0.0);
        }
        let scores = MatrixRef::row_major(&scratch.scores, [c, c]);
        let mut du = MatrixMut::row_major(&mut scratch.write, [c, e]);
        du.gemm(scores.transposed(), out, 1.0, false);
        du.gemm(key, dz, 1.0, true);
        MatrixMut::row_major(&mut scratch.scores_gradient, [c, c]).gemm(out, write.transposed(), 1.0, false);
        drop_later(&mut scratch.scores_gradient, c);
        let da = MatrixRef::row_major(&scratch.scores_gradient, [c, c]);
        let mut dq = MatrixMut::row_major(&mut scratch.query, [c, d]);
        dq.gemm(da, key, 1.0, false);
        dq.gemm(out, state.transposed(), 1.0, true);
        let mut dk = MatrixMut::row_major(&mut scratch.key, [c, d]);
        dk.gemm(da.transposed(), query, 1.0, false);
        dk.gemm(write, dz.transposed(), 1.0, true);
    }

    /// Gradients of strengths and values, and for the delta rule what they add to keys and state. Returns that of `skip`.
    fn write_gradients(&self, scratch: &mut Scratch, state_gradient: &mut [f32], rows: &mut GradientRows) -> f32 {
        let (head, c, e) = (self.head, self.chunk.count, self.sizes.value);
        let is_delta = head.rule == UpdateRule::Delta;
        if is_delta {
            triangular::solve_transposed(&self.matrices.system, &mut scratch.write, [c, e]);
            self.overlap_gradient(scratch);
        }
        let mut skip = 0.0;
        for i in 0..c {
            let (t, columns) = (self.chunk.first + i, i * e..(i + 1) * e);
            let (dr, strength) = (&mut scratch.write[columns.clone()], head.strength(t));
            let mut gradient = dot(dr, &self.matrices.residual[columns]);
            if is_delta {
                let pairs = i * c..(i + 1) * c;
                gradient += dot(&scratch.overlap_gradient[pairs.clone()], &self.matrices.overlap[pairs.clone()]);
                scratch.overlap_gradient[pairs].iter_mut().for_each(|f| *f *= strength);
            }
            rows.strength.row_mut(i)[0] = gradient;
            dr.iter_mut().for_each(|dr| *dr *= strength);
            let dv = rows.value.row_mut(i);
            dv.copy_from_slice(dr);
            let out = self.gradient.row(i);
            add_scaled(dv, &[head.skip], out);
            skip += dot(out, head.value.row(t));
        }
        if is_delta {
            self.reading_key_gradients(scratch, state_gradient);
        }
        skip
    }

    /// F = −stril(dR Uᵀ).
    fn overlap_gradient(&self, scratch: &mut Scratch) {
        let (c, e) = (self.chunk.count, self.sizes.value);
        scratch.overlap_gradient.resize(c * c, 0.0);
        let write = MatrixRef::row_major(&self.matrices.write, [c, e]);
        let dr = MatrixRef::row_major(&scratch.write, [c, e]);
        MatrixMut::row_major(&mut scratch.overlap_gradient, [c, c]).gemm(dr, write.transposed(), -1.0, false);
        for i in 0..c {
            scratch.overlap_gradient[i * c..(i + 1) * c][i..].fill(0.0);
        }
    }

    /// dk'', and what the delta rule adds to dk' and to the gradient of the state.
    fn reading_key_gradients(&self, scratch: &mut Scratch, state_gradient: &mut [f32]) {
        let (c, d, e) = (self.chunk.count, self.sizes.key, self.sizes.value);
        scratch.reading_key.resize(c * d, 0.0);
        let [key, reading_key] =
            [&self.matrices.key, &self.matrices.reading_key].map(|values| MatrixRef::row_major(values, [c, d]));
        let pairs = MatrixRef::row_major(&scratch.overlap_gradient, [c, c]);
        let dp = MatrixRef::row_major(&scratch.write, [c, e]);
        let mut reading = MatrixMut::row_major(&mut scratch.reading_key, [c, d]);
        reading.gemm(pairs, key, 1.0, false);
        reading.gemm(dp, MatrixRef::row_major(self.state, [d, e]).transposed(), -1.0, true);
        MatrixMut::row_major(&mut scratch.key, [c, d]).gemm(pairs.transposed(), reading_key, 1.0, true);
        MatrixMut::row_major(state_gradient, [d, e]).gemm(reading_key.transposed(), dp, -1.0, true);
    }

    /// Gradients of queries and keys, and of the log decays from the second token on: sums of dc from the last token down.
    fn decay_gradients(&self, scratch: &mut Scratch, rows: &mut GradientRows) {
        let (head, c) = (self.head, self.chunk.count);
        let (d, w, matrices) = (self.sizes.key, self.sizes.decay, self.matrices);
        let is_delta = head.rule == UpdateRule::Delta;
        let mut total = vec![0.0; w];
        for i in (0..c).rev() {
            let (own, columns) = (i * w..(i + 1) * w, i * d..(i + 1) * d);
            let (decay, inverse) = (&matrices.decay[own.clone()], &matrices.inverse_decay[own.clone()]);
            let (dq, dk) = (&scratch.query[columns.clone()], &scratch.key[columns.clone()]);
            let is_live = head.is_live(self.chunk.first + i);
            scale_row(dq, decay, rows.query.row_mut(i));
            add_products(&mut total, &matrices.query[columns.clone()], dq, 1.0);
            if is_live {
                scale_row(dk, inverse, rows.key.row_mut(i));
                add_products(&mut total, &matrices.key[columns.clone()], dk, -1.0);
            }
            if is_live && is_delta {
                let reading = &scratch.reading_key[columns.clone()];
                add_scaled(rows.key.row_mut(i), decay, reading);
                add_products(&mut total, &matrices.reading_key[columns], reading, 1.0);
            }
            total.iter_mut().zip(&scratch.decay[own]).for_each(|(total, dc)| *total += dc);
            if is_live {
                rows.log_decay.row_mut(i).copy_from_slice(&total);
            }
        }
    }
}
