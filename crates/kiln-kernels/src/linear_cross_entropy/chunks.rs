//! Forward and backward pass over chunks of logits, on slices.
//!
//! Positions are processed in blocks, the vocabulary of a block in chunks of tokens; [`Chunking`] gives the sizes.
//!
//! Order of sums: the log-sum-exp of a position over the chunks in ascending order, each in 16 lanes and shifted by its own
//! maximum (1805.02867, algorithm 3); ∂h over the chunks, ∂W and ∂b over the blocks in ascending order. Sizes depend on shapes
//! alone (in the backward pass: on the number of positions with a gradient), so the bits don't depend on threads.

use super::CHUNK_VALUES;
use crate::{
    cpu::{
        matrix::{MatrixMut, MatrixRef},
        tensor::{par_fill_rows, par_sum_rows, rows_per_task},
        vector::{exp, max, sum, tanh, vectorized},
    },
    packed::{HalfMatrix, PackedMatrix},
};
use rayon::prelude::*;
use std::ops::Range;

/// Sizes of blocks and chunks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunking {
    /// Positions of a block.
    pub block_rows: usize,
    /// Logits that are held at once. A block of n positions is processed in chunks of this / n tokens.
    pub chunk_values: usize,
}

impl Default for Chunking {
    /// 2048 positions and [`CHUNK_VALUES`] logits, 2048 tokens at once. More positions would make the chunks narrow; fewer would
    /// read W more often.
    fn default() -> Self {
        Self { block_rows: 2048, chunk_values: CHUNK_VALUES }
    }
}

/// Output matrix `[V, M]`: a view of floats of 32 or 16 bits, or packed rows.
#[derive(Clone, Copy)]
pub enum Rows<'a> {
    Floats(MatrixRef<'a>),
    Half(HalfMatrix<'a>),
    Packed(&'a PackedMatrix),
}

impl Rows<'_> {
    /// Calls `f` with the rows of some tokens, `[tokens, M]`. Rows that aren't of 32-bit floats are converted into `scratch`.
    fn with<T>(&self, tokens: &Range<usize>, scratch: &mut Vec<f32>, f: impl FnOnce(MatrixRef) -> T) -> T {
        match self {
            Self::Floats(matrix) => f(matrix.rows(tokens.start, tokens.len())),
            Self::Half(matrix) => matrix.with_rows((tokens.start, tokens.len()), scratch, f),
            Self::Packed(matrix) => {
                let columns = matrix.shape()[1];
                scratch.resize(tokens.len() * columns, 0.0);
                par_fill_rows(scratch, columns, |row, out| {
                    matrix.ggml_type().dequantize(matrix.row(tokens.start + row), out);
                });
                f(MatrixRef::row_major(scratch, [tokens.len(), columns]))
            }
        }
    }
}

/// A head, positions and their targets.
#[derive(Clone, Copy)]
pub struct Problem<'a> {
    /// `[N, M]`, row-major.
    pub hidden: &'a [f32],
    pub rows: Rows<'a>,
    /// `[V]`.
    pub bias: &'a [f32],
    pub softcap: Option<f32>,
    /// `[N]`.
    pub targets: &'a [i32],
    /// M.
    pub width: usize,
    pub chunking: Chunking,
}

/// Running log-sum-exp of one position: log Σ exp = max + ln(sum).
#[derive(Clone, Copy)]
struct LogSumExp {
    max: f32,
    sum: f32,
    target_logit: f32,
}

vectorized! {
    /// Logits of a row from its products with W: c · tanh((z + b) / c), or z + b.
    fn finish_logits(row: &mut [f32], bias: &[f32], softcap: Option<f32>) {
        match softcap {
            Some(cap) => row.iter_mut().zip(bias).for_each(|(z, b)| *z = tanh((*z + b) * (1.0 / cap)) * cap),
            None => row.iter_mut().zip(bias).for_each(|(z, b)| *z += b),
        }
    }

    /// Maximum of a row, and Σ exp of its differences to it.
    fn shifted_sum(row: &[f32]) -> (f32, f32) {
        let max = max(row);
        (max, sum(row.len(), |i| exp(row[i] - max)))
    }

    /// Logits of a row replaced by g · softmax; the caller subtracts the target's term.
    fn weigh(row: &mut [f32], log_sum: f32, gradient: f32) {
        row.iter_mut().for_each(|z| *z = gradient * exp(*z - log_sum));
    }

    /// [`weigh`] times the derivative of the softcap, 1 − (z / c)².
    fn weigh_capped(row: &mut [f32], log_sum: f32, gradient: f32, cap: f32) {
        row.iter_mut().for_each(|z| {
            let ratio = *z * (1.0 / cap);
            *z = gradient * exp(*z - log_sum) * (1.0 - ratio * ratio);
        });
    }

    /// Adds a row to a sum.
    fn add_row(row: &[f32], out: &mut [f32]) {
        out.iter_mut().zip(row).for_each(|(out, x)| *out += x);
    }
}

impl LogSumExp {
    const EMPTY: Self = Self { max: f32::NEG_INFINITY, sum: 0.0, target_logit: f32::NAN };

    /// Adds a chunk of logits.
    fn add(&mut self, logits: &[f32]) {
        let (max, sum) = shifted_sum(logits);
        if max == f32::NEG_INFINITY && self.max > max {
            return;
        }
        let common = if max > self.max { max } else { self.max };
        self.sum = self.sum * exp(self.max - common) + sum * exp(max - common);
        self.max = common;
    }

    fn value(&self) -> f32 {
        self.max + self.sum.ln()
    }
}

impl<'a> Problem<'a> {
    /// Number of positions N.
    fn positions(&self) -> usize {
        self.targets.len()
    }

    /// Size of the vocabulary V.
    fn vocab(&self) -> usize {
        self.bias.len()
    }

    /// Blocks of positions.
    fn blocks(&self) -> impl Iterator<Item = Self> {
        let (problem, rows) = (*self, self.chunking.block_rows);
        let blocks = self.targets.chunks(rows).zip(self.hidden.chunks(rows * self.width.max(1)));
        blocks.map(move |(targets, hidden)| Self { targets, hidden, ..problem })
    }

    /// Chunks of the vocabulary, for a block of positions.
    fn chunks(&self) -> impl Iterator<Item = Range<usize>> {
        let (vocab, tokens) = (self.vocab(), (self.chunking.chunk_values / self.positions().max(1)).max(1));
        (0..vocab).step_by(tokens).map(move |first| first..vocab.min(first + tokens))
    }

    /// Hidden states as a matrix `[N, M]`.
    fn hidden(&self) -> MatrixRef<'a> {
        MatrixRef::row_major(self.hidden, [self.positions(), self.width])
    }

    /// Calls `f(position, logits, item)` for each position, in parallel, with its logits of some tokens. `items` has one
    /// element a position.
    fn for_each_row<T: Send>(
        &self,
        tokens: &Range<usize>,
        matrix: MatrixRef,
        logits: &mut Vec<f32>,
        items: impl IndexedParallelIterator<Item = T>,
        f: impl Fn(usize, &mut [f32], T) + Sync,
    ) {
        logits.resize(self.positions() * tokens.len(), 0.0);
        let mut product = MatrixMut::row_major(logits, [self.positions(), tokens.len()]);
        product.par_gemm(self.hidden(), matrix.transposed(), 1.0, false);
        let rows = logits.par_chunks_mut(tokens.len()).zip(items).enumerate();
        rows.with_min_len(rows_per_task(tokens.len())).for_each(|(position, (row, item))| {
            finish_logits(row, &self.bias[tokens.clone()], self.softcap);
            f(position, row, item);
        });
    }

    /// Cross-entropy of each position, and log Σ exp of its logits, which the gradient needs.
    pub fn forward(&self) -> (Vec<f32>, Vec<f32>) {
        let (mut logits, mut scratch) = (Vec::new(), Vec::new());
        let mut sums = Vec::with_capacity(self.positions());
        for block in self.blocks() {
            let mut block_sums = vec![LogSumExp::EMPTY; block.positions()];
            for tokens in block.chunks() {
                self.rows.with(&tokens, &mut scratch, |matrix| {
                    block.for_each_row(
                        &tokens,
                        matrix,
                        &mut logits,
                        block_sums.par_iter_mut(),
                        |position, row, sum| {
                            sum.add(row);
                            if let Some(target) = block.target_in(position, &tokens) {
                                sum.target_logit = row[target];
                            }
                        },
                    );
                });
            }
            sums.extend(block_sums);
        }
        (sums.iter().map(|sum| sum.value() - sum.target_logit).collect(), sums.iter().map(LogSumExp::value).collect())
    }

    /// Index of a position's target within some tokens, if it is among them.
    fn target_in(&self, position: usize, tokens: &Range<usize>) -> Option<usize> {
        let target = self.targets[position] as usize;
        tokens.contains(&target).then(|| target - tokens.start)
    }

    /// Adds to the gradients. `gradient` is that of the losses, `log_sums` comes from the forward pass, both `[N]`.
    pub fn backward(&self, log_sums: &[f32], gradient: &[f32], out: &mut OutputGradients) {
        let (mut logits, mut scratch) = (Vec::new(), Vec::new());
        let mut first = 0;
        for block in self.blocks() {
            let positions = first..first + block.positions();
            let (log_sums, gradient) = (&log_sums[positions.clone()], &gradient[positions.clone()]);
            for tokens in block.chunks() {
                self.rows.with(&tokens, &mut scratch, |matrix| {
                    let items = log_sums.par_iter().zip(gradient);
                    block.for_each_row(&tokens, matrix, &mut logits, items, |position, row, (log_sum, gradient)| {
                        block.logits_gradient(position, row, &tokens, *log_sum, *gradient);
                    });
                    out.add(&block, &logits, matrix, positions.clone(), tokens.clone());
                });
            }
            first = positions.end;
        }
    }

    /// Replaces logits of a position by their gradient.
    fn logits_gradient(&self, position: usize, row: &mut [f32], tokens: &Range<usize>, log_sum: f32, gradient: f32) {
        let target = self.target_in(position, tokens).map(|target| (target, row[target]));
        match self.softcap {
            Some(cap) => weigh_capped(row, log_sum, gradient, cap),
            None => weigh(row, log_sum, gradient),
        }
        if let Some((target, logit)) = target {
            row[target] -= gradient * self.softcap.map_or(1.0, |cap| 1.0 - (logit / cap) * (logit / cap));
        }
    }
}

/// Gradients of a head, those that are wanted.
pub struct OutputGradients {
    /// ∂h, `[N, M]`.
    pub hidden: Option<Vec<f32>>,
    /// ∂W, `[V, M]` or, if `is_transposed`, `[M, V]`.
    pub matrix: Option<Vec<f32>>,
    /// ∂b, `[V]`.
    pub bias: Option<Vec<f32>>,
    /// Whether W is `[M, V]`.
    pub is_transposed: bool,
}

impl OutputGradients {
    /// Adds the terms of `positions`, a block, and of `tokens`. `logits_gradient` is D, `[positions, tokens]`, and `matrix` the
    /// rows of the tokens.
    fn add(
        &mut self,
        block: &Problem,
        logits_gradient: &[f32],
        matrix: MatrixRef,
        positions: Range<usize>,
        tokens: Range<usize>,
    ) {
        let (width, vocab) = (block.width, block.vocab());
        let (rows, columns) = (positions.len(), tokens.len());
        let d = MatrixRef::row_major(logits_gradient, [rows, columns]);
        if let Some(hidden) = &mut self.hidden {
            let hidden = &mut hidden[positions.start * width..positions.end * width];
            MatrixMut::row_major(hidden, [rows, width]).par_gemm(d, matrix, 1.0, tokens.start > 0);
        }
        let add = positions.start > 0;
        match &mut self.matrix {
            Some(out) if self.is_transposed => MatrixMut::columns(out, [width, columns], tokens.start, vocab).par_gemm(
                block.hidden().transposed(),
                d,
                1.0,
                add,
            ),
            Some(out) => {
                let out = &mut out[tokens.start * width..tokens.end * width];
                MatrixMut::row_major(out, [columns, width]).par_gemm(d.transposed(), block.hidden(), 1.0, add);
            }
            None => {}
        }
        if let Some(bias) = &mut self.bias {
            let sums =
                par_sum_rows(rows, columns, |row, sum| add_row(&logits_gradient[row * columns..][..columns], sum));
            add_row(&sums, &mut bias[tokens]);
        }
    }
}
