//! Linear map with a packed matrix on the CPU: y = x Wᵀ, and its gradient ∂x = ∂y W.
//!
//! * **One row of x** (decoding): products from packed rows where the format has them ([`GgmlType::has_mat_vec`]), otherwise
//!   each row of W is dequantized once. Tasks of 65,536 weights.
//! * **Several rows** (prefill, training): tasks are 64 to 128 rows of W, which are dequantized and multiplied with all rows of
//!   x, so the cost of dequantization is shared.
//! * **Gradient**: tasks are 64 to 256 columns of W. A task dequantizes 128 rows at a time, in ascending order, and adds their
//!   product to its columns of ∂x.
//!
//! Order of sums: forward, an element is one dot product inside one task; backward, tiles in ascending order. Task sizes are
//! constants, so the bits don't depend on threads (`threads_change_no_bit` in `tests/integration/packed.rs`). A prompt of one
//! token and a longer one use different kernels and may differ in the last bits.
//!
//! [`GgmlType::has_mat_vec`]: super::GgmlType::has_mat_vec

use super::{PackedMatrix, matrix::PackedRef};
use crate::cpu::backend_api::{
    Autodiff, Backend, Backward, CheckpointStrategy, Checkpointer, Dispatch, Flex, FlexTensor, FloatTensor, Gradients,
    IntTensor, Ops, OpsKind, TensorMetadata, backend_extension,
};
use crate::cpu::matrix::{MatrixMut, MatrixRef};
use crate::cpu::{
    tensor::{as_f32_slice, f32_tensor, par_fill_rows},
    vector::{sum, vectorized},
};
use burn::tensor::{Int, Shape, Tensor};
use rayon::prelude::*;
use std::ops::Range;

/// Operation of [`packed_linear`] on Burn's backends.
#[backend_extension(Flex, Autodiff)]
pub trait PackedLinear: Backend {
    /// x Wᵀ: `x […, columns]`, W `[rows, columns] → […, rows]`.
    fn packed_linear(x: FloatTensor<Self>, matrix: PackedMatrix) -> FloatTensor<Self>;
}

/// Gradient of the linear map, on backends without autodiff. W has none.
pub trait PackedLinearGradient: PackedLinear {
    /// Returns the gradient of x, ∂y W: `[…, rows] → […, columns]`.
    fn packed_linear_gradient(gradient: FloatTensor<Self>, matrix: PackedMatrix) -> FloatTensor<Self>;
}

/// Linear map x Wᵀ: `x […, columns] → […, rows]`.
///
/// # Panics
/// If x isn't f32 on flex, or its last dimension isn't the number of columns.
pub fn packed_linear<const D: usize>(x: Tensor<D>, matrix: &PackedMatrix) -> Tensor<D> {
    Tensor::from_dispatch(Dispatch::packed_linear(x.into_dispatch(), matrix.clone()))
}

/// Operation of [`packed_rows`]. Not on autodiff backends: neither the ids nor W have a gradient.
#[backend_extension(Flex)]
pub trait PackedRows: Backend {
    /// Rows `ids [B, T]` of the matrix, dequantized `→ [B, T, columns]`.
    fn packed_rows(ids: IntTensor<Self>, matrix: PackedMatrix) -> FloatTensor<Self>;
}

/// Embedding lookup: rows `ids [B, T]` of the matrix, dequantized `→ [B, T, columns]`.
///
/// # Panics
/// If the ids aren't on flex without autodiff, or an id isn't below the number of rows.
pub fn packed_rows(ids: Tensor<2, Int>, matrix: &PackedMatrix) -> Tensor<3> {
    Tensor::from_dispatch(Dispatch::packed_rows(ids.into_dispatch(), matrix.clone()))
}

impl PackedRows for Flex {
    fn packed_rows(ids: FlexTensor, matrix: PackedMatrix) -> FlexTensor {
        let (ids, columns) = (ids.to_contiguous(), matrix.shape()[1]);
        let rows = ids.as_slice::<i32>().expect("contiguous 32-bit integers");
        let mut out = vec![0.0; rows.len() * columns];
        par_fill_rows(&mut out, columns, |row, out| matrix.ggml_type().dequantize(matrix.row(rows[row] as usize), out));
        f32_tensor(out, Shape::from([ids.shape()[0], ids.shape()[1], columns]))
    }
}

/// Weights in one task of a product with one row of x: large enough that a task takes several microseconds.
const MIN_TASK_VALUES: usize = 64 * 1024;
/// Rows of W in a tile: enough for an efficient product, and at 4096 columns the dequantized tile (2 MiB) is about the size of
/// an L2 cache.
const TILE_ROWS: usize = 128;
/// Greatest number of columns of a tile of a product x W: 128 KiB with 128 rows, for a second-level cache.
const TILE_COLUMNS: usize = 256;
/// Smallest number of columns of the output in one task: four vectors of the widest registers.
const MIN_COLUMNS: usize = 64;

vectorized! {
    /// Dot product in 16 lanes.
    fn dot(a: &[f32], b: &[f32]) -> f32 {
        sum(a.len(), |i| a[i] * b[i])
    }
}

/// Product x Wᵀ with rows of x: `[n, columns] → [n, rows]`. One row has its own kernel.
pub(super) fn product_transposed(x: &[f32], matrix: PackedRef) -> Vec<f32> {
    let [rows, columns] = matrix.shape;
    match () {
        () if rows == 0 || x.is_empty() => vec![0.0; x.len() / columns.max(1) * rows],
        () if x.len() == columns => linear_one_row(x, matrix),
        () => linear_rows(x, matrix),
    }
}

/// Product x W with rows of x: `[n, rows] → [n, columns]`. Tiles of W are dequantized and added in ascending order.
pub(super) fn product(x: &[f32], matrix: PackedRef) -> Vec<f32> {
    let [rows, columns] = matrix.shape;
    let count = x.len() / rows.max(1);
    if count == 1 && matrix.ggml_type.block_size == 1 {
        let mut out = vec![0.0; columns];
        product_one_row(x, matrix, &mut out);
        return out;
    }
    let width = task_columns(columns, TILE_COLUMNS).next_multiple_of(matrix.ggml_type.block_size);
    by_columns([count, columns], width, |columns, out| {
        let mut weights = vec![0.0; TILE_ROWS.min(rows) * columns.len()];
        for first in (0..rows).step_by(TILE_ROWS) {
            let height = TILE_ROWS.min(rows - first);
            let weights = &mut weights[..height * columns.len()];
            for (row, out) in weights.chunks_exact_mut(columns.len()).enumerate() {
                matrix.ggml_type.dequantize(matrix.column_span(first + row, &columns), out);
            }
            let left = MatrixRef::columns(x, [count, height], first, rows);
            let right = MatrixRef::row_major(weights, [height, columns.len()]);
            MatrixMut::row_major(out, [count, columns.len()]).gemm(left, right, 1.0, true);
        }
    })
}

/// Number of columns of the output in one task, at most `max`: few enough for eight tasks, so that a narrow output is shared
/// by threads too, and a whole number of vectors.
fn task_columns(columns: usize, max: usize) -> usize {
    (columns / 8).next_multiple_of(MIN_COLUMNS).clamp(MIN_COLUMNS, max)
}

/// A matrix `[count, columns]`, row-major, whose columns are computed by tasks: `fill` gets a range of columns and adds to zeros
/// of the shape `[count, width of the range]`.
///
/// A task has all rows. So the threads share the work of a product with few rows, and no part of W is dequantized twice.
fn by_columns([count, columns]: [usize; 2], width: usize, fill: impl Fn(Range<usize>, &mut [f32]) + Sync) -> Vec<f32> {
    let mut blocks = vec![0.0; count * columns];
    blocks.par_chunks_mut((count * width).max(1)).enumerate().for_each(|(task, out)| {
        let first = task * width;
        fill(first..first + out.len() / count, out);
    });
    if columns <= width {
        return blocks;
    }
    let mut out = vec![0.0; blocks.len()];
    par_fill_rows(&mut out, columns, |row, out| {
        for (block, out) in blocks.chunks(count * width).zip(out.chunks_mut(width)) {
            out.copy_from_slice(&block[row * out.len()..][..out.len()]);
        }
    });
    out
}

/// Product with one row of x, `[columns] → [rows]`.
fn linear_one_row(x: &[f32], matrix: PackedRef) -> Vec<f32> {
    let [rows, columns] = matrix.shape;
    let mut out = vec![0.0; rows];
    let task = (MIN_TASK_VALUES / columns.max(1)).max(1);
    out.par_chunks_mut(task).enumerate().for_each(|(number, out)| {
        if let Some(product) = matrix.ggml_type.mat_vec {
            return product(matrix.row_span(number * task, out.len()), x, out);
        }
        let mut weights = vec![0.0; columns];
        for (i, out) in out.iter_mut().enumerate() {
            matrix.ggml_type.dequantize(matrix.row_span(number * task + i, 1), &mut weights);
            *out = dot(&weights, x);
        }
    });
    out
}

/// Product with several rows of x, `[n, columns] → [n, rows]`.
fn linear_rows(x: &[f32], matrix: PackedRef) -> Vec<f32> {
    let [rows, columns] = matrix.shape;
    let count = x.len() / columns;
    by_columns([count, rows], task_columns(rows, TILE_ROWS), |rows, out| {
        let weights = dequantize_rows(matrix, rows.start, rows.len());
        MatrixMut::row_major(out, [count, rows.len()]).gemm(
            MatrixRef::row_major(x, [count, columns]),
            MatrixRef::row_major(&weights, [rows.len(), columns]).transposed(),
            1.0,
            false,
        );
    })
}

/// Columns of W in one task of a product x W with one row of x: a row of a task is dequantized into an L1 cache.
const ONE_ROW_COLUMNS: usize = 256;

/// Product x W with one row of x and a format of single values, `[rows] → [columns]`: rows of W in ascending order.
fn product_one_row(x: &[f32], matrix: PackedRef, out: &mut [f32]) {
    let size = matrix.ggml_type.block_bytes;
    out.par_chunks_mut(ONE_ROW_COLUMNS).enumerate().for_each(|(task, out)| {
        let (start, mut weights) = (size * task * ONE_ROW_COLUMNS, [0.0; ONE_ROW_COLUMNS]);
        for (row, x) in x.iter().enumerate() {
            let bytes = &matrix.row_span(row, 1)[start..][..size * out.len()];
            matrix.ggml_type.dequantize(bytes, &mut weights[..out.len()]);
            out.iter_mut().zip(&weights).for_each(|(out, weight)| *out += x * weight);
        }
    });
}

/// Rows `first..first + count` of W, dequantized.
fn dequantize_rows(matrix: PackedRef, first: usize, count: usize) -> Vec<f32> {
    let columns = matrix.shape[1];
    let mut out = vec![0.0; count * columns];
    matrix.ggml_type.dequantize(matrix.row_span(first, count), &mut out);
    out
}

/// The shape with `last` as its last dimension.
pub(crate) fn with_last_dim(shape: Shape, last: usize) -> Shape {
    let mut shape = shape.to_vec();
    if let Some(width) = shape.last_mut() {
        *width = last;
    }
    shape.into()
}

impl PackedLinear for Flex {
    fn packed_linear(x: FlexTensor, matrix: PackedMatrix) -> FlexTensor {
        let x = x.to_contiguous();
        let [rows, columns] = matrix.shape();
        assert_eq!(x.shape().to_vec().last(), Some(&columns), "the last dimension of x must be the number of columns");
        f32_tensor(product_transposed(as_f32_slice(&x), matrix.as_ref()), with_last_dim(x.shape(), rows))
    }
}

impl PackedLinearGradient for Flex {
    fn packed_linear_gradient(gradient: FlexTensor, matrix: PackedMatrix) -> FlexTensor {
        let gradient = gradient.to_contiguous();
        let out = product(as_f32_slice(&gradient), matrix.as_ref());
        f32_tensor(out, with_last_dim(gradient.shape(), matrix.shape()[1]))
    }
}

/// Backward step; stores the packed matrix (shared, not copied).
#[derive(Debug)]
struct PackedLinearBackward;

impl<B: PackedLinearGradient> Backward<B, 1> for PackedLinearBackward {
    type State = PackedMatrix;

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let [parent] = ops.parents;
        let gradient = grads.consume::<B>(&ops.node);
        if let Some(node) = parent {
            grads.register::<B>(node.id, B::packed_linear_gradient(gradient, ops.state));
        }
    }
}

impl<B: PackedLinearGradient, C: CheckpointStrategy> PackedLinear for Autodiff<B, C> {
    fn packed_linear(x: FloatTensor<Self>, matrix: PackedMatrix) -> FloatTensor<Self> {
        let (x, node) = x.into_parts();
        let y = B::packed_linear(x, matrix.clone());
        match PackedLinearBackward.prepare::<C>([node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish(matrix, y),
            OpsKind::UnTracked(prep) => prep.finish(y),
        }
    }
}
