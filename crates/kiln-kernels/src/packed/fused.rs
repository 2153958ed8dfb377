//! The product with a packed matrix on the CPU. One row of x is multiplied with the rows as they are packed: that reads
//! the least memory, of which decoding wants the most. Several rows share what a tile of rows is unpacked to.

use super::PackedMatrix;
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

/// The operation, as every backend that can be differentiated through has it.
#[backend_extension(Flex, Autodiff)]
pub trait PackedLinear: Backend {
    /// `x […, in]`, rows of `in` numbers `→ […, rows]`.
    fn packed_linear(x: FloatTensor<Self>, matrix: PackedMatrix) -> FloatTensor<Self>;
}

/// Its gradient, on the backends that compute.
pub trait PackedLinearGradient: PackedLinear {
    /// Gradient of x.
    fn packed_linear_gradient(gradient: FloatTensor<Self>, matrix: PackedMatrix) -> FloatTensor<Self>;
}

/// Each row of x with each row of the matrix: `[…, columns] → […, rows]`. 32-bit floats on flex only.
pub fn packed_linear<const D: usize>(x: Tensor<D>, matrix: &PackedMatrix) -> Tensor<D> {
    Tensor::from_dispatch(Dispatch::packed_linear(x.into_dispatch(), matrix.clone()))
}

/// Rows by number; without gradients there is nothing to differentiate.
#[backend_extension(Flex)]
pub trait PackedRows: Backend {
    /// `[B, T]` of numbers of rows `→ [B, T, columns]`.
    fn packed_rows(ids: IntTensor<Self>, matrix: PackedMatrix) -> FloatTensor<Self>;
}

/// Rows of the matrix by number, `[B, T] → [B, T, columns]`. On flex only.
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

/// Numbers of the matrix that are worth a task of their own.
const MIN_TASK_VALUES: usize = 64 * 1024;
/// Rows that are unpacked at once.
const TILE_ROWS: usize = 128;

vectorized! {
    fn dot(a: &[f32], b: &[f32]) -> f32 {
        sum(a.len(), |i| a[i] * b[i])
    }
}

/// One row of x: the products with the rows of the matrix.
fn linear_one_row(x: &[f32], matrix: &PackedMatrix) -> Vec<f32> {
    let [rows, columns] = matrix.shape();
    let mut out = vec![0.0; rows];
    let task = (MIN_TASK_VALUES / columns.max(1)).max(1);
    out.par_chunks_mut(task).enumerate().for_each(|(number, out)| {
        if let Some(product) = matrix.ggml_type().mat_vec {
            return product(matrix.row_span(number * task, out.len()), x, out);
        }
        let mut unpacked = vec![0.0; columns];
        for (i, out) in out.iter_mut().enumerate() {
            matrix.ggml_type().dequantize(matrix.row(number * task + i), &mut unpacked);
            *out = dot(&unpacked, x);
        }
    });
    out
}

/// Several rows of x.
fn linear_rows(x: &[f32], matrix: &PackedMatrix) -> Vec<f32> {
    let [rows, columns] = matrix.shape();
    let count = x.len() / columns;
    let mut turned = vec![0.0; rows * count];
    turned.par_chunks_mut(TILE_ROWS * count).enumerate().for_each(|(tile, out)| {
        let height = out.len() / count;
        let unpacked = dequantize_rows(matrix, tile * TILE_ROWS, height);
        let own = MatrixRef::row_major(&unpacked, [height, columns]);
        MatrixMut::row_major(out, [height, count]).gemm(
            own,
            MatrixRef::row_major(x, [count, columns]).transposed(),
            1.0,
            false,
        );
    });
    let mut out = vec![0.0; turned.len()];
    par_fill_rows(&mut out, rows, |row, out| {
        out.iter_mut().enumerate().for_each(|(column, out)| *out = turned[column * count + row]);
    });
    out
}

/// Some rows as numbers.
fn dequantize_rows(matrix: &PackedMatrix, first: usize, count: usize) -> Vec<f32> {
    let columns = matrix.shape()[1];
    let mut out = vec![0.0; count * columns];
    matrix.ggml_type().dequantize(matrix.row_span(first, count), &mut out);
    out
}

/// The shape with another last dimension.
fn with_last_dim(shape: Shape, last: usize) -> Shape {
    let mut shape = shape.to_vec();
    if let Some(width) = shape.last_mut() {
        *width = last;
    }
    shape.into()
}

impl PackedLinear for Flex {
    fn packed_linear(x: FlexTensor, matrix: PackedMatrix) -> FlexTensor {
        let x = x.to_contiguous();
        let (values, [rows, columns]) = (as_f32_slice(&x), matrix.shape());
        assert_eq!(x.shape().to_vec().last(), Some(&columns), "as many numbers as a row of the matrix has");
        let out = match () {
            () if rows == 0 || values.is_empty() => vec![0.0; values.len() / columns.max(1) * rows],
            () if values.len() == columns => linear_one_row(values, &matrix),
            () => linear_rows(values, &matrix),
        };
        f32_tensor(out, with_last_dim(x.shape(), rows))
    }
}

impl PackedLinearGradient for Flex {
    fn packed_linear_gradient(gradient: FlexTensor, matrix: PackedMatrix) -> FlexTensor {
        let gradient = gradient.to_contiguous();
        let (values, [rows, columns]) = (as_f32_slice(&gradient), matrix.shape());
        let count = values.len() / rows.max(1);
        let mut out = vec![0.0; count * columns];
        for first in (0..rows).step_by(TILE_ROWS) {
            let height = TILE_ROWS.min(rows - first);
            let unpacked = dequantize_rows(&matrix, first, height);
            out.par_chunks_mut(TILE_ROWS * columns.max(1)).zip(values.par_chunks(TILE_ROWS * rows)).for_each(
                |(out, values)| {
                    let count = values.len() / rows;
                    let own = MatrixRef::row_major(&unpacked, [height, columns]);
                    let left = MatrixRef::columns(values, [count, height], first, rows);
                    MatrixMut::row_major(out, [count, columns]).gemm(left, own, 1.0, true);
                },
            );
        }
        f32_tensor(out, with_last_dim(gradient.shape(), columns))
    }
}

#[derive(Debug)]
struct PackedLinearBackward;

impl<B: PackedLinearGradient> Backward<B, 1> for PackedLinearBackward {
    type State = PackedMatrix;

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let [of_x] = ops.parents;
        let gradient = grads.consume::<B>(&ops.node);
        if let Some(node) = of_x {
            grads.register::<B>(node.id, B::packed_linear_gradient(gradient, ops.state));
        }
    }
}

impl<B: PackedLinearGradient, C: CheckpointStrategy> PackedLinear for Autodiff<B, C> {
    fn packed_linear(x: FloatTensor<Self>, matrix: PackedMatrix) -> FloatTensor<Self> {
        let (x, of_x) = x.into_parts();
        let y = B::packed_linear(x, matrix.clone());
        match PackedLinearBackward.prepare::<C>([of_x]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish(matrix, y),
            OpsKind::UnTracked(prep) => prep.finish(y),
        }
    }
}
