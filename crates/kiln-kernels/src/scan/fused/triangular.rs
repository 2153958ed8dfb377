//! Triangular systems (I + M) X = R with M strictly lower triangular, and their transposes.
//!
//! Rows in blocks of 16: earlier blocks by a matrix product, the block itself row by row.

use crate::cpu::{
    matrix::{MatrixMut, MatrixRef},
    vector::vectorized,
};

/// Rows in a block.
const BLOCK_ROWS: usize = 16;

vectorized! {
    /// Solves the rows of one block, `x [rows, width]`; `m` are the rows of M from the block's first column on, of length
    /// `stride`.
    fn solve_block(m: &[f32], stride: usize, x: &mut [f32], width: usize) {
        for row in 1..x.len() / width {
            let (before, own) = x.split_at_mut(row * width);
            let own = &mut own[..width];
            for (factor, other) in m[row * stride..][..row].iter().zip(before.chunks_exact(width)) {
                for (own, other) in own.iter_mut().zip(other) {
                    *own -= factor * other;
                }
            }
        }
    }

    /// Solves the rows of one block of the transposed system.
    fn solve_block_transposed(m: &[f32], stride: usize, x: &mut [f32], width: usize) {
        for row in (1..x.len() / width).rev() {
            let (before, own) = x.split_at_mut(row * width);
            let own = &own[..width];
            for (factor, other) in m[row * stride..][..row].iter().zip(before.chunks_exact_mut(width)) {
                for (other, own) in other.iter_mut().zip(own) {
                    *other -= factor * own;
                }
            }
        }
    }
}

/// Replaces `x [C, width]` by the solution of (I + M) X = x. M is `[C, C]`, row-major; its upper triangle isn't read.
pub fn solve(m: &[f32], x: &mut [f32], [size, width]: [usize; 2]) {
    for first in (0..size).step_by(BLOCK_ROWS) {
        let count = BLOCK_ROWS.min(size - first);
        let (before, own) = x.split_at_mut(first * width);
        let own = &mut own[..count * width];
        if first > 0 {
            let left = MatrixRef::columns(&m[first * size..], [count, first], 0, size);
            let right = MatrixRef::row_major(before, [first, width]);
            MatrixMut::row_major(own, [count, width]).gemm(left, right, -1.0, true);
        }
        solve_block(&m[first * size + first..], size, own, width);
    }
}

/// Replaces `x [C, width]` by the solution of (I + M)ᵀ X = x.
pub fn solve_transposed(m: &[f32], x: &mut [f32], [size, width]: [usize; 2]) {
    for first in (0..size).step_by(BLOCK_ROWS).rev() {
        let count = BLOCK_ROWS.min(size - first);
        let after = size - first - count;
        let (own, rest) = x.split_at_mut((first + count) * width);
        let own = &mut own[first * width..];
        if after > 0 {
            let left = MatrixRef::columns(&m[(first + count) * size..], [after, count], first, size).transposed();
            let right = MatrixRef::row_major(rest, [after, width]);
            MatrixMut::row_major(own, [count, width]).gemm(left, right, -1.0, true);
        }
        solve_block_transposed(&m[first * size + first..], size, own, width);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kiln_spec::Random;

    #[test]
    fn solutions_satisfy_their_systems() {
        let mut random = Random::new(3, "triangular", 0, 0);
        for (size, width) in [(1, 3), (7, 1), (16, 5), (17, 4), (64, 9)] {
            let mut draw = |n: usize| (0..n).map(|_| random.normal() as f32 * 0.3).collect::<Vec<f32>>();
            let (m, right) = (draw(size * size), draw(size * width));
            for transposed in [false, true] {
                let mut x = right.clone();
                let solve = if transposed { solve_transposed } else { solve };
                solve(&m, &mut x, [size, width]);
                for row in 0..size {
                    for column in 0..width {
                        let others = if transposed { row + 1..size } else { 0..row };
                        let cell = |other| if transposed { m[other * size + row] } else { m[row * size + other] };
                        let sum: f64 =
                            others.map(|other| f64::from(cell(other)) * f64::from(x[other * width + column])).sum();
                        let apart = f64::from(x[row * width + column]) + sum - f64::from(right[row * width + column]);
                        let scale = x.iter().fold(1.0f32, |most, x| most.max(x.abs()));
                        assert!(apart.abs() < 1e-5 * f64::from(scale), "{size} {width} {apart}");
                    }
                }
            }
        }
    }
}
