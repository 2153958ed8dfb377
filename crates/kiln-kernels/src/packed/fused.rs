//! Linear map with a packed matrix on the CPU: y = x Wᵀ, and its gradient ∂x = ∂y W.
//!
//! * **One row of x** (decoding): products from packed rows where the format has them ([`GgmlType::has_mat_vec`]), otherwise
//!   each row of W is dequantized once. Tasks of 65,536 weights.
//! * **Several rows** (prefill, training): tiles of 128 rows of W are dequantized and multiplied with all rows of x, so the
//!   cost of dequantization is shared. The copy has 128 rows instead of the whole matrix.
//! * **Gradient**: tiles of 128 rows of W in ascending order, each added to all rows of ∂x; tasks are 128 rows of ∂x. The tile
//!   itself is dequantized by tasks of 16 rows.
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
/// Rows of a tile that one task dequantizes.
const DEQUANTIZE_ROWS: usize = 16;

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
    let mut out = vec![0.0; count * columns];
    if count == 1 && matrix.ggml_type.block_size == 1 {
        product_one_row(x, matrix, &mut out);
        return out;
    }
    let mut weights = vec![0.0; TILE_ROWS.min(rows) * columns];
    for first in (0..rows).step_by(TILE_ROWS) {
        let height = TILE_ROWS.min(rows - first);
        let weights = &mut weights[..height * columns];
        weights.par_chunks_mut(DEQUANTIZE_ROWS * columns.max(1)).enumerate().for_each(|(task, out)| {
            let span = matrix.row_span(first + task * DEQUANTIZE_ROWS, out.len() / columns);
            matrix.ggml_type.dequantize(span, out);
        });
        out.par_chunks_mut(TILE_ROWS * columns.max(1)).zip(x.par_chunks(TILE_ROWS * rows)).for_each(|(out, x)| {
            let count = x.len() / rows;
            let left = MatrixRef::columns(x, [count, height], first, rows);
            let right = MatrixRef::row_major(weights, [height, columns]);
            MatrixMut::row_major(out, [count, columns]).gemm(left, right, 1.0, true);
        });
    }
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
///
/// A tile writes its own rows of the transposed result, so tasks write disjoint memory; the result is transposed at the end.
fn linear_rows(x: &[f32], matrix: PackedRef) -> Vec<f32> {
    let [rows, columns] = matrix.shape;
    let count = x.len() / columns;
    let mut transposed = vec![0.0; rows * count];
    transposed.par_chunks_mut(TILE_ROWS * count).enumerate().for_each(|(tile, out)| {
        let height = out.len() / count;
        let weights = dequantize_rows(matrix, tile * TILE_ROWS, height);
        MatrixMut::row_major(out, [height, count]).gemm(
            MatrixRef::row_major(&weights, [height, columns]),
            MatrixRef::row_major(x, [count, columns]).transposed(),
            1.0,
            false,
        );
    });
    let mut out = vec![0.0; transposed.len()];
    par_fill_rows(&mut out, rows, |row, out| {
        out.iter_mut().enumerate().for_each(|(column, out)| *out = transposed[column * count + row]);
    });
    out
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
