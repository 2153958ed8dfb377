//! Batch-invariant products of rows with matrices in any of the packed formats, floats among them.

use super::strips::{FEW_ROWS, Rows, StripSums, product_of_few_rows};
use crate::{cpu::tensor::par_fill_rows, packed::PackedRef};
use rayon::prelude::*;

/// Weights in one task of a product by dot products. Few enough that a task's packed rows stay in an L2 cache.
const TASK_VALUES: usize = 64 * 1024;
/// Rows of a block format that are dequantized at once.
const DEQUANTIZED_ROWS: usize = 128;

/// Product x Wᵀ of rows of x with a matrix of packed rows, `[n, columns] → [n, rows]`: dot products.
///
/// A task writes its own rows of the transposed result, which is transposed at the end.
pub fn product_transposed(x: &[f32], matrix: PackedRef) -> Vec<f32> {
    let [rows, columns] = matrix.shape;
    let count = x.len() / columns.max(1);
    let mut transposed = vec![0.0; rows * count];
    let task = (TASK_VALUES / columns.max(1)).max(1);
    transposed.par_chunks_mut((task * count).max(1)).enumerate().for_each(|(number, out)| {
        let packed = matrix.row_span(number * task, out.len() / count);
        (matrix.ggml_type.dot_products)(packed, x, columns, out);
    });
    if count == 1 {
        return transposed;
    }
    let mut out = vec![0.0; transposed.len()];
    par_fill_rows(&mut out, rows, |row, out| {
        out.iter_mut().enumerate().for_each(|(column, out)| *out = transposed[column * count + row]);
    });
    out
}

/// Product x W of rows of x with a matrix of packed rows, `[n, rows] → [n, columns]`: inputs in ascending order.
pub fn product(x: &[f32], matrix: PackedRef) -> Vec<f32> {
    let [rows, columns] = matrix.shape;
    let x = Rows { values: x, width: rows };
    let count = x.values.len() / rows.max(1);
    let mut sums = StripSums::new(count, columns);
    if matrix.ggml_type.block_size == 1 {
        let size = matrix.ggml_type.block_bytes;
        let read = |row: usize, column: usize, out: &mut [f32]| {
            matrix.ggml_type.dequantize(&matrix.row_span(row, 1)[size * column..][..size * out.len()], out);
        };
        if count <= FEW_ROWS {
            return product_of_few_rows(x, columns, read);
        }
        sums.add(x, 0..rows, read);
        return sums.into_rows();
    }
    // A strip isn't a whole number of blocks: some rows are dequantized as a whole.
    let mut values = vec![0.0; DEQUANTIZED_ROWS.min(rows) * columns];
    for first in (0..rows).step_by(DEQUANTIZED_ROWS) {
        let range = first..rows.min(first + DEQUANTIZED_ROWS);
        let values = &mut values[..range.len() * columns];
        par_fill_rows(values, columns, |row, out| matrix.ggml_type.dequantize(matrix.row_span(first + row, 1), out));
        let read = |row: usize, column: usize, out: &mut [f32]| {
            out.copy_from_slice(&values[(row - first) * columns + column..][..out.len()]);
        };
        sums.add(x, range, read);
    }
    sums.into_rows()
}
