//! Flex tensors as slices of floats, and loops over rows by threads.
//!
//! All loops split rows into tasks by [`rows_per_task`], which depends on the row width alone. A task computes its rows in
//! order; no row is split. The bits of a result are therefore the same for any number of threads.

use burn::backend::flex::{FlexTensor, Layout};
use burn::tensor::{Bytes, DType, Shape};
use rayon::prelude::*;
use std::mem::MaybeUninit;

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

/// Returns `len` values that `fill(row, values)` computes row by row, as in [`par_fill_rows`]. A row begins as zeros.
///
/// Each task writes the zeros of its own rows, which then are in its cache. `vec![0.0; len]` writes all of them on one thread
/// and to memory, which takes as long as a cheap `fill` itself.
pub fn par_new_rows(len: usize, width: usize, fill: impl Fn(usize, &mut [f32]) + Sync) -> Vec<f32> {
    let ([values], _) = new_by_tasks(len, [width, rows_per_task(width)], |row, [values], _: &mut ()| fill(row, values));
    values
}

/// Returns N times `len` values that `fill(row, values, sum)` computes row by row, and the sum over rows of `sum_width` values
/// that it adds to. A row begins as zeros, as in [`par_new_rows`].
///
/// Order of summation: rows in ascending order within a block of [`rows_per_task`] rows of the wider of the two, then the
/// blocks' sums in ascending order, starting from 0, as in [`par_sum_rows`].
pub fn par_new_rows_and_sum<const N: usize>(
    len: usize,
    width: usize,
    sum_width: usize,
    fill: impl Fn(usize, [&mut [f32]; N], &mut [f32]) + Sync,
) -> ([Vec<f32>; N], Vec<f32>) {
    let rows = rows_per_task(width.max(sum_width));
    let (values, block_sums) = new_by_tasks(len, [width, rows], |row, values, sum: &mut Vec<f32>| {
        sum.resize(sum_width, 0.0);
        fill(row, values, sum);
    });
    (values, add_in_order(block_sums, sum_width))
}

/// Returns N times `len` values in rows of `width`, zeros that `fill(row, values, result)` changes, and the result of each
/// task of `rows` rows.
fn new_by_tasks<const N: usize, R: Default + Send>(
    len: usize,
    [width, rows]: [usize; 2],
    fill: impl Fn(usize, [&mut [f32]; N], &mut R) + Sync,
) -> ([Vec<f32>; N], Vec<R>) {
    let width = width.max(1);
    let mut values: [Vec<f32>; N] = std::array::from_fn(|_| Vec::with_capacity(len));
    let mut chunks = values.each_mut().map(|values| values.spare_capacity_mut()[..len].chunks_mut(rows * width));
    let tasks = 0..len.div_ceil(rows * width);
    let tasks: Vec<_> = tasks.map(|_| chunks.each_mut().map(|chunks| chunks.next().expect("a chunk a task"))).collect();
    let run = |(task, chunks): (usize, [&mut [MaybeUninit<f32>]; N])| {
        let mut result = R::default();
        let mut chunks = chunks.map(|chunk| zeroed(chunk).chunks_mut(width));
        for row in task * rows..len.div_ceil(width).min((task + 1) * rows) {
            fill(row, chunks.each_mut().map(|chunk| chunk.next().expect("a row")), &mut result);
        }
        result
    };
    let results = tasks.into_par_iter().enumerate().map(run).collect();
    for values in &mut values {
        // SAFETY: the tasks are all chunks of the first `len` elements, and each has initialized its own.
        #[allow(unsafe_code)]
        unsafe {
            values.set_len(len);
        }
    }
    (values, results)
}

/// Writes zeros to memory and returns it.
fn zeroed(memory: &mut [MaybeUninit<f32>]) -> &mut [f32] {
    memory.fill(MaybeUninit::new(0.0));
    // SAFETY: all elements have just been written; the type has the layout of `f32`.
    #[allow(unsafe_code)]
    unsafe {
        std::slice::from_raw_parts_mut(memory.as_mut_ptr().cast::<f32>(), memory.len())
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows of no, one and many tasks, the last one shorter: each element is written once, and sums are those of the rows in
    /// blocks.
    #[test]
    fn new_rows_are_those_of_filled_memory() {
        for (len, width) in [(0, 3), (0, 0), (1, 1), (7, 3), (40_000, 64), (16_384 * 3 + 5, 1000), (5, 100_000)] {
            let fill = |row: usize, values: &mut [f32]| {
                for (i, value) in values.iter_mut().enumerate() {
                    assert_eq!(*value, 0.0);
                    *value += (row * 31 + i * 7 % 13) as f32 + 0.1;
                }
            };
            let mut expected = vec![0.0; len];
            par_fill_rows(&mut expected, width, fill);
            assert_eq!(par_new_rows(len, width, fill), expected, "{len} {width}");
            let rows = len.div_ceil(width.max(1));
            let sums = par_sum_rows(rows, width, |row, sum| {
                sum.iter_mut().zip(&expected[row * width..]).for_each(|(sum, value)| *sum += value);
            });
            let ([values], found) = par_new_rows_and_sum(len, width, width, |row, [values], sum| {
                fill(row, values);
                sum.iter_mut().zip(values).for_each(|(sum, value)| *sum += *value);
            });
            assert_eq!((values, found), (expected, sums), "{len} {width}");
        }
    }
}
