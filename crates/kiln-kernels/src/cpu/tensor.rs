//! Burn's flex tensors as slices of floats.

use burn::backend::flex::{FlexTensor, Layout};
use burn::tensor::{Bytes, DType, Shape};
use rayon::prelude::*;

/// The numbers of a contiguous tensor.
///
/// # Panics
/// If it isn't contiguous 32-bit floats: kernels ask for that first.
pub fn as_f32_slice(tensor: &FlexTensor) -> &[f32] {
    tensor.as_slice::<f32>().expect("contiguous 32-bit floats")
}

/// A tensor of these numbers, row-major.
pub fn f32_tensor(values: Vec<f32>, shape: Shape) -> FlexTensor {
    FlexTensor::new(Bytes::from_elems(values), Layout::contiguous(shape), DType::F32)
}

/// How many rows of `width` numbers are worth a task of their own.
pub fn rows_per_task(width: usize) -> usize {
    (16 * 1024 / width.max(1)).max(1)
}

/// Fills rows of `width` numbers by threads: `fill(row, numbers)`.
pub fn par_fill_rows(values: &mut [f32], width: usize, fill: impl Fn(usize, &mut [f32]) + Sync) {
    let rows = rows_per_task(width);
    values.par_chunks_mut(rows * width.max(1)).enumerate().for_each(|(task, chunk)| {
        for (i, row) in chunk.chunks_mut(width.max(1)).enumerate() {
            fill(task * rows + i, row);
        }
    });
}

/// The sum over rows of what each row adds to `width` numbers, in an order that does not depend on threads: rows are
/// taken in blocks of fixed size, and the blocks' sums added in order.
pub fn par_sum_rows(rows: usize, width: usize, add: impl Fn(usize, &mut [f32]) + Sync) -> Vec<f32> {
    let block = rows_per_task(width);
    let blocks: Vec<Vec<f32>> = (0..rows.div_ceil(block))
        .into_par_iter()
        .map(|b| {
            let mut sum = vec![0.0; width];
            (b * block..rows.min((b + 1) * block)).for_each(|row| add(row, &mut sum));
            sum
        })
        .collect();
    blocks.into_iter().fold(vec![0.0; width], |mut sum, part| {
        sum.iter_mut().zip(part).for_each(|(s, p)| *s += p);
        sum
    })
}
