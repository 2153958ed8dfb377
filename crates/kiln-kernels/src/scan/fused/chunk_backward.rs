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
    matrices::{ChunkMatrices, drop_later, scale_state},
    triangular,
};
use crate::cpu::{
    matrix::{MatrixMut, MatrixRef},
    vector::{sum, vectorized},
};

/// Σ a b, in 16 lanes.
#[inline(always)]
fn dot(a: &[f32], b: &[f32]) -> f32 {
    sum(a.len(), |i| a[i] * b[i])
}

/// out += sign · a ⊙ b; with one output element, the sum of all products.
#[inline(always)]
fn add_products(out: &mut [f32], a: &[f32], b: &[f32], sign: f32) {
    if let [out] = out {
        *out += sign * dot(a, b);
    } else {
        for ((out, a), b) in out.iter_mut().zip(a).zip(b) {
            *out += sign * a * b;
        }
    }
}

vectorized! {
    /// Adds the dot products of rows of `width` elements to `out`, one for each row, or all of them to one element.
    fn add_row_products(a: &[f32], b: &[f32], width: usize, out: &mut [f32]) {
        for (row, (a, b)) in a.chunks_exact(width).zip(b.chunks_exact(width)).enumerate() {
            let column = if out.len() == 1 { 0 } else { row };
            out[column] += dot(a, b);
        }
    }

    /// Gradients of a token's write: dr becomes dP = β dR, dv is dP + skip · dO. Returns dβ = dR · P.
    fn write_gradient_row(dr: &mut [f32], residual: &[f32], strength: f32, out: &[f32], skip: f32, dv: &mut [f32]) -> f32 {
        let gradient = dot(dr, residual);
        if skip == 0.0 {
            for (dr, dv) in dr.iter_mut().zip(dv) {
                *dr *= strength;
                *dv = *dr;
            }
        } else {
            for ((dr, dv), out) in dr.iter_mut().zip(dv).zip(out) {
                *dr *= strength;
                *dv = *dr + skip * out;
            }
        }
        gradient
    }

    /// Σ a b of a row.
    fn row_product(a: &[f32], b: &[f32]) -> f32 {
        dot(a, b)
    }

    /// Gradient of a token's query or key, dx = factor ⊙ dx', and sign · x' ⊙ dx' added to dc.
    fn factor_gradient_row(x: &[f32], dx: &[f32], factor: &[f32], sign: f32, out: &mut [f32], dc: &mut [f32]) {
        if let [factor] = factor {
            for (out, dx) in out.iter_mut().zip(dx) {
                *out = dx * factor;
            }
        } else {
            for ((out, dx), factor) in out.iter_mut().zip(dx).zip(factor) {
                *out = dx * factor;
            }
        }
        add_products(dc, x, dx, sign);
    }

    /// What the delta rule adds to the gradient of a token's key, dk += decay ⊙ dk'', and k'' ⊙ dk'' added to dc.
    fn add_reading_gradient_row(x: &[f32], dx: &[f32], decay: &[f32], out: &mut [f32], dc: &mut [f32]) {
        if let [decay] = decay {
            for (out, dx) in out.iter_mut().zip(dx) {
                *out += decay * dx;
            }
        } else {
            for ((out, dx), decay) in out.iter_mut().zip(dx).zip(decay) {
                *out += decay * dx;
            }
        }
        add_products(dc, x, dx, 1.0);
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
            // Σ_e dS · S_after of each key dimension.
            add_row_products(after, state_gradient, e, &mut scratch.decay[(c - 1) * w..]);
        }
        scale_state(state_gradient, self.matrices.last_decay(), e);
        self.output_gradients(scratch, state_gradient);
        let matrix = |values| MatrixRef::row_major(values, [c, d]);
        let out = self.gradient;
        MatrixMut::row_major(state_gradient, [d, e]).gemm(matrix(&self.matrices.query).transposed(), out, 1.0, true);
        let skip = self.write_gradients(scratch, state_gradient, rows);
        self.decay_gradients(scratch, rows);
        let mut first = vec![0.0; w];
        add_row_products(self.state, state_gradient, e, &mut first);
        rows.log_decay.row_mut(0).copy_from_slice(&first);
        if !self.head.is_live(self.chunk.first) {
            rows.log_decay.row_mut(0).fill(0.0);
        }
        scale_state(state_gradient, &self.matrices.first_decay, e);
        skip
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
            let (dr, strength, out) = (&mut scratch.write[columns.clone()], head.strength(t), self.gradient.row(i));
            let residual = &self.matrices.residual[columns];
            let mut gradient = write_gradient_row(dr, residual, strength, out, head.skip, rows.value.row_mut(i));
            if is_delta {
                let pairs = i * c..(i + 1) * c;
                gradient +=
                    row_product(&scratch.overlap_gradient[pairs.clone()], &self.matrices.overlap[pairs.clone()]);
                scratch.overlap_gradient[pairs].iter_mut().for_each(|f| *f *= strength);
            }
            rows.strength.row_mut(i)[0] = gradient;
            if head.has_skip {
                skip += row_product(out, head.value.row(t));
            }
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
            let query = &matrices.query[columns.clone()];
            factor_gradient_row(query, dq, decay, 1.0, rows.query.row_mut(i), &mut total);
            if is_live {
                let key = &matrices.key[columns.clone()];
                factor_gradient_row(key, dk, inverse, -1.0, rows.key.row_mut(i), &mut total);
            }
            if is_live && is_delta {
                let (key, reading) = (&matrices.reading_key[columns.clone()], &scratch.reading_key[columns]);
                add_reading_gradient_row(key, reading, decay, rows.key.row_mut(i), &mut total);
            }
            total.iter_mut().zip(&scratch.decay[own]).for_each(|(total, dc)| *total += dc);
            if is_live {
                rows.log_decay.row_mut(i).copy_from_slice(&total);
            }
        }
    }
}
