//! Flex tensors as slices of floats, and loops over rows by threads.
//!
//! All loops split rows into tasks by [`rows_per_task`], which depends on the row width alone. A task computes its rows in
//! order; no row is split. The bits of a result are therefore the same for any number of threads.

use burn::backend::flex::{FlexTensor, Layout};
use burn::tensor::{Bytes, DType, Shape};
use rayon::prelude::*;

/// Returns the values of a contiguous tensor of 32-bit floats, row-major.
///
/// # Panics
/// If the tensor isn't contiguous or has another type. Kernels call `to_contiguous` first and run for f32 only.
pub fn as_f32_slice(tensor: &FlexTensor) -> &[f32] {
    tensor.as_slice::<f32>().expect("contiguous 32-bit floats")
}

/// Returns the values of a contiguous tensor of 32-bit floats for writing. They are copied first if another tensor shares them.
///
/// # Panics
/// As for [`as_f32_slice`].
pub fn as_f32_slice_mut(tensor: &mut FlexTensor) -> &mut [f32] {
    let (start, count) = (tensor.layout().start_offset(), as_f32_slice(tensor).len());
    &mut tensor.storage_mut::<f32>()[start..start + count]
}

/// Returns a contiguous tensor of `values`, row-major. `values` must have as many elements as `shape`.
pub fn f32_tensor(values: Vec<f32>, shape: Shape) -> FlexTensor {
    FlexTensor::new(Bytes::from_elems(values), Layout::contiguous(shape), DType::F32)
}

/// Returns the tensor `[B, H, T, X]`, copied unless the elements of a row are adjacent.
pub fn with_adjacent_columns(tensor: &FlexTensor) -> FlexTensor {
    let layout = tensor.layout();
    if layout.strides()[3] == 1 { tensor.clone() } else { tensor.to_contiguous() }
}

/// Returns the number of rows of `width` values in one task: about 16,384 values, at least one row.
pub fn rows_per_task(width: usize) -> usize {
    (16 * 1024 / width.max(1)).max(1)
}

/// Calls `fill(row, values)` for each row of `width` values, in parallel. Rows are independent, so no order matters.
///
/// The last row is shorter if `width` doesn't divide the length. A `width` of 0 counts as 1.
pub fn par_fill_rows(values: &mut [f32], width: usize, fill: impl Fn(usize, &mut [f32]) + Sync) {
    let rows = rows_per_task(width);
    values.par_chunks_mut(rows * width.max(1)).enumerate().for_each(|(task, chunk)| {
        for (i, row) in chunk.chunks_mut(width.max(1)).enumerate() {
            fill(task * rows + i, row);
        }
    });
}

/// Returns the sum over rows: `add(row, sum)` adds row `row` to `width` values.
///
/// Order of summation: rows in ascending order within a block of [`rows_per_task`] rows, then the blocks' sums in ascending
/// order, starting from 0. Blocks run in parallel, but the split is fixed, so the bits don't depend on the threads. The
/// rounding error grows with block size + number of blocks instead of with the number of rows.
pub fn par_sum_rows(rows: usize, width: usize, add: impl Fn(usize, &mut [f32]) + Sync) -> Vec<f32> {
    let block = rows_per_task(width);
    let block_sums: Vec<Vec<f32>> = (0..rows.div_ceil(block))
        .into_par_iter()
        .map(|b| {
            let mut sum = vec![0.0; width];
            (b * block..rows.min((b + 1) * block)).for_each(|row| add(row, &mut sum));
            sum
        })
        .collect();
    add_in_order(block_sums, width)
}

/// Fills rows and sums over them in one pass: `fill(row, values, sum)` computes row `row` of `width` values and adds to
/// `sum_width` sums. Returns the sums.
///
/// The order of summation is that of [`par_sum_rows`] for rows of `width` values.
pub fn par_fill_and_sum_rows(
    values: &mut [f32],
    width: usize,
    sum_width: usize,
    fill: impl Fn(usize, &mut [f32], &mut [f32]) + Sync,
) -> Vec<f32> {
    let rows = rows_per_task(width);
    let block_sums: Vec<Vec<f32>> = values
        .par_chunks_mut(rows * width.max(1))
        .enumerate()
        .map(|(block, chunk)| {
            let mut sum = vec![0.0; sum_width];
            for (i, row) in chunk.chunks_mut(width.max(1)).enumerate() {
                fill(block * rows + i, row, &mut sum);
            }
            sum
        })
        .collect();
    add_in_order(block_sums, sum_width)
}

/// Sum of the blocks' sums in ascending order, starting from 0.
fn add_in_order(block_sums: Vec<Vec<f32>>, width: usize) -> Vec<f32> {
    block_sums.into_iter().fold(vec![0.0; width], |mut sum, block_sum| {
        sum.iter_mut().zip(block_sum).for_each(|(s, b)| *s += b);
        sum
    })
}
