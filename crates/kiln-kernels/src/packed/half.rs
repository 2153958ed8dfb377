//! Linear maps and embedding lookups with weights of 16-bit floats (bf16, f16) that are tensors: x in f32, W at two bytes.
//!
//! y = x W, ∂x = ∂y Wᵀ and ∂W = xᵀ ∂y, each in f32. W is converted in tiles of 128 rows and never as a whole. Burn's own product
//! would convert W on every call, and x down to 16 bits. Reference: the product with W converted to f32. Bound: 1e-5 of the
//! greatest element, forward and backward (`half_products_and_gradients_are_those_of_the_numbers`).
//!
//! W `[in, out]` may be stored by rows or by columns (a transposed view, as a tied head has it); the products differ in
//! nothing but the order of their sums. Order: as in [`super::fused`] for x W and ∂x; an element of ∂W is one product of
//! matrices inside one task, of 64 rows of W.

use super::{
    GgmlType,
    fused::{product, product_transposed, with_last_dim},
    matrix::PackedRef,
};
use crate::cpu::{
    backend_api::{
        Autodiff, Backend, Backward, CheckpointStrategy, Checkpointer, Dispatch, Flex, FlexTensor, FloatTensor,
        Gradients, IntTensor, Layout, Ops, OpsKind, TensorMetadata, backend_extension,
    },
    is_cpu_f32,
    matrix::{MatrixMut, MatrixRef},
    tensor::{as_f32_slice, f32_tensor, par_fill_rows},
};
use burn::tensor::{DType, Device, Int, Shape, Tensor};
use rayon::prelude::*;

/// Whether elements of this type are 16-bit floats: bf16 or f16.
pub fn is_half(dtype: DType) -> bool {
    matches!(dtype, DType::BF16 | DType::F16)
}

/// Linear map x W with W of 16-bit floats: `x […, in]`, `W [in, out] → […, out]`. Differentiable in x and W; the gradient
/// of W is of 32-bit floats.
///
/// # Panics
/// If W isn't of 16-bit floats, or the shapes don't match.
pub fn half_linear<const D: usize>(x: Tensor<D>, weight: Tensor<2>) -> Tensor<D> {
    if !is_cpu_f32(&x) {
        return half_linear_reference(x, weight);
    }
    // Without a gradient of W, x isn't needed after the forward pass.
    let is_trained = weight.is_tracked();
    Tensor::from_dispatch(Dispatch::half_linear(x.into_dispatch(), weight.into_dispatch(), is_trained))
}

/// Linear map x W by converting the whole W: the oracle, on every backend that has the type.
pub fn half_linear_reference<const D: usize>(x: Tensor<D>, weight: Tensor<2>) -> Tensor<D> {
    let dtype = x.dtype();
    burn::tensor::module::linear(x, weight.cast(dtype), None)
}

/// Embedding lookup in a table of 16-bit floats: rows `ids [B, T]` of `table [V, M]`, as 32-bit floats `→ [B, T, M]`.
/// Differentiable in the table; its gradient is of 32-bit floats.
///
/// # Panics
/// If the table isn't of 16-bit floats, or an id isn't below V.
pub fn half_embedding(table: Tensor<2>, ids: Tensor<2, Int>) -> Tensor<3> {
    if table.device() != Device::flex() {
        return burn::tensor::module::embedding(table.cast(DType::F32), ids);
    }
    Tensor::from_dispatch(Dispatch::half_embedding(table.into_dispatch(), ids.into_dispatch()))
}

/// Operations of [`half_linear`] and [`half_embedding`] on Burn's backends.
#[backend_extension(Flex, Autodiff)]
pub trait HalfWeights: Backend {
    /// x W: `x […, in]`, `W [in, out] → […, out]`. `is_trained`: W has a gradient.
    fn half_linear(x: FloatTensor<Self>, weight: FloatTensor<Self>, is_trained: bool) -> FloatTensor<Self>;

    /// Rows `ids [B, T]` of a table `[V, M]`: `→ [B, T, M]`.
    fn half_embedding(table: FloatTensor<Self>, ids: IntTensor<Self>) -> FloatTensor<Self>;
}

/// Gradients of [`HalfWeights`], on backends without autodiff.
pub trait HalfWeightGradients: HalfWeights {
    /// Returns the gradient of x, ∂y Wᵀ: `[…, out] → […, in]`.
    fn half_linear_input_gradient(gradient: FloatTensor<Self>, weight: FloatTensor<Self>) -> FloatTensor<Self>;

    /// Returns the gradient of W, xᵀ ∂y `[in, out]`, in 32-bit floats, stored by rows or columns as W is.
    fn half_linear_weight_gradient(
        x: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        weight: FloatTensor<Self>,
    ) -> FloatTensor<Self>;

    /// Returns the gradient of a table of `shape` `[V, M]`: the sum of the gradients of each row, in the order of the ids.
    fn half_embedding_gradient(
        shape: [usize; 2],
        ids: IntTensor<Self>,
        gradient: FloatTensor<Self>,
    ) -> FloatTensor<Self>;
}

/// A weight `[in, out]` as its memory holds it: rows of a matrix S, which is W or, if `transposed`, Wᵀ.
pub(crate) struct StoredWeight {
    pub(crate) tensor: FlexTensor,
    pub(crate) transposed: bool,
}

impl StoredWeight {
    /// Copies the weight only if it is stored neither by rows nor by columns.
    pub(crate) fn new(weight: FlexTensor) -> Self {
        if weight.is_contiguous() {
            return Self { tensor: weight, transposed: false };
        }
        let swapped = weight.transpose(0, 1);
        if swapped.is_contiguous() {
            return Self { tensor: swapped, transposed: true };
        }
        Self { tensor: weight.to_contiguous(), transposed: false }
    }

    /// The matrix S.
    ///
    /// # Panics
    /// If the elements aren't 16-bit floats.
    fn matrix(&self) -> PackedRef<'_> {
        packed_ref(&self.tensor, self.tensor.shape().dims()).expect("a weight of 16-bit floats")
    }
}

/// Borrowed matrix of 16-bit floats, for kernels that convert a part of it at a time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HalfMatrix<'a> {
    stored: PackedRef<'a>,
    /// Whether the stored rows are the matrix's columns.
    transposed: bool,
}

impl<'a> HalfMatrix<'a> {
    /// Returns a view of a tensor that is stored by rows or by columns; `None` for other strides or types.
    pub(crate) fn of(tensor: &'a FlexTensor) -> Option<Self> {
        let [rows, columns]: [usize; 2] = tensor.shape().dims();
        let transposed = !tensor.is_contiguous();
        if transposed && !tensor.transpose(0, 1).is_contiguous() {
            return None;
        }
        let shape = if transposed { [columns, rows] } else { [rows, columns] };
        Some(Self { stored: packed_ref(tensor, shape)?, transposed })
    }

    /// Returns the transpose.
    pub(crate) fn transposed(self) -> Self {
        Self { transposed: !self.transposed, ..self }
    }

    /// Returns the number of rows and columns.
    pub(crate) fn shape(&self) -> [usize; 2] {
        let [rows, columns] = self.stored.shape;
        if self.transposed { [columns, rows] } else { [rows, columns] }
    }

    /// Calls `f` with `count` rows, from row `first` on, converted into `scratch`.
    pub(crate) fn with_rows<T>(
        &self,
        (first, count): (usize, usize),
        scratch: &mut Vec<f32>,
        f: impl FnOnce(MatrixRef) -> T,
    ) -> T {
        let ([_, columns], stored) = (self.shape(), &self.stored);
        scratch.resize(count * columns, 0.0);
        if !self.transposed {
            par_fill_rows(scratch, columns, |row, out| {
                stored.ggml_type.dequantize(stored.row_span(first + row, 1), out);
            });
            return f(MatrixRef::row_major(scratch, [count, columns]));
        }
        par_fill_rows(scratch, count, |column, out| {
            stored.ggml_type.dequantize(&stored.row_span(column, 1)[2 * first..][..2 * count], out);
        });
        f(MatrixRef::row_major(scratch, [columns, count]).transposed())
    }
}

/// The memory of a tensor of 16-bit floats as a matrix of this shape; `None` for other types.
fn packed_ref(tensor: &FlexTensor, shape: [usize; 2]) -> Option<PackedRef<'_>> {
    is_half(tensor.dtype()).then(|| float_rows(tensor, shape)).flatten()
}

/// The memory of a contiguous tensor of floats of 16 or 32 bits as a matrix of this shape; `None` for other types.
pub(crate) fn float_rows(tensor: &FlexTensor, shape: [usize; 2]) -> Option<PackedRef<'_>> {
    let name = match tensor.dtype() {
        DType::F32 => "F32",
        DType::BF16 => "BF16",
        DType::F16 => "F16",
        _ => return None,
    };
    let ggml_type = GgmlType::from_name(name)?;
    let size = ggml_type.block_bytes;
    let (start, row_bytes) = (size * tensor.layout().start_offset(), size * shape[1]);
    Some(PackedRef { ggml_type, shape, row_bytes, bytes: &tensor.bytes()[start..][..shape[0] * row_bytes] })
}

/// Rows of the weight's gradient in one task.
const GRADIENT_ROWS: usize = 64;

/// Product aᵀ b: `a [n, rows]`, `b [n, columns] → [rows, columns]`.
fn outer_product(a: &[f32], b: &[f32], [rows, columns]: [usize; 2]) -> Vec<f32> {
    let count = a.len() / rows.max(1);
    let mut out = vec![0.0; rows * columns];
    out.par_chunks_mut(GRADIENT_ROWS * columns.max(1)).enumerate().for_each(|(task, out)| {
        let height = out.len() / columns;
        let left = MatrixRef::columns(a, [count, height], task * GRADIENT_ROWS, rows).transposed();
        let right = MatrixRef::row_major(b, [count, columns]);
        MatrixMut::row_major(out, [height, columns]).gemm(left, right, 1.0, false);
    });
    out
}

impl HalfWeights for Flex {
    fn half_linear(x: FlexTensor, weight: FlexTensor, _is_trained: bool) -> FlexTensor {
        let (x, [inputs, outputs]) = (x.to_contiguous(), weight.shape().dims());
        assert_eq!(x.shape().to_vec().last(), Some(&inputs), "the last dimension of x must be that of the weight");
        let stored = StoredWeight::new(weight);
        let values = as_f32_slice(&x);
        let out = if stored.transposed {
            product_transposed(values, stored.matrix())
        } else {
            product(values, stored.matrix())
        };
        f32_tensor(out, with_last_dim(x.shape(), outputs))
    }

    fn half_embedding(table: FlexTensor, ids: FlexTensor) -> FlexTensor {
        let (ids, table) = (ids.to_contiguous(), StoredWeight { tensor: table.to_contiguous(), transposed: false });
        let (rows, matrix) = (ids.as_slice::<i32>().expect("contiguous 32-bit integers"), table.matrix());
        let mut out = vec![0.0; rows.len() * matrix.shape[1]];
        par_fill_rows(&mut out, matrix.shape[1], |row, out| {
            matrix.ggml_type.dequantize(matrix.row_span(rows[row] as usize, 1), out);
        });
        f32_tensor(out, Shape::from([ids.shape()[0], ids.shape()[1], matrix.shape[1]]))
    }
}

impl HalfWeightGradients for Flex {
    fn half_linear_input_gradient(gradient: FlexTensor, weight: FlexTensor) -> FlexTensor {
        let (gradient, [inputs, _]) = (gradient.to_contiguous(), weight.shape().dims::<2>());
        let stored = StoredWeight::new(weight);
        let values = as_f32_slice(&gradient);
        let out = if stored.transposed {
            product(values, stored.matrix())
        } else {
            product_transposed(values, stored.matrix())
        };
        f32_tensor(out, with_last_dim(gradient.shape(), inputs))
    }

    fn half_linear_weight_gradient(x: FlexTensor, gradient: FlexTensor, weight: FlexTensor) -> FlexTensor {
        let (x, gradient, [inputs, outputs]) = (x.to_contiguous(), gradient.to_contiguous(), weight.shape().dims());
        let (x, gradient) = (as_f32_slice(&x), as_f32_slice(&gradient));
        if StoredWeight::new(weight).transposed {
            let out = outer_product(gradient, x, [outputs, inputs]);
            return f32_tensor(out, Shape::from([outputs, inputs])).transpose(0, 1);
        }
        f32_tensor(outer_product(x, gradient, [inputs, outputs]), Shape::from([inputs, outputs]))
    }

    fn half_embedding_gradient(shape: [usize; 2], ids: FlexTensor, gradient: FlexTensor) -> FlexTensor {
        let (ids, gradient) = (ids.to_contiguous(), gradient.to_contiguous());
        let rows = ids.as_slice::<i32>().expect("contiguous 32-bit integers");
        let mut out = vec![0.0; shape[0] * shape[1]];
        for (row, gradient) in rows.iter().zip(as_f32_slice(&gradient).chunks_exact(shape[1].max(1))) {
            let sum = &mut out[*row as usize * shape[1]..][..shape[1]];
            sum.iter_mut().zip(gradient).for_each(|(sum, gradient)| *sum += gradient);
        }
        FlexTensor::new(burn::tensor::Bytes::from_elems(out), Layout::contiguous(Shape::from(shape)), DType::F32)
    }
}

/// Backward step of the linear map; stores W, and x if W is trained.
#[derive(Debug)]
struct HalfLinearBackward;

impl<B: HalfWeightGradients> Backward<B, 2> for HalfLinearBackward {
    type State = (Option<FloatTensor<B>>, FloatTensor<B>);

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let ([x_node, weight_node], (x, weight)) = (ops.parents, ops.state);
        let gradient = grads.consume::<B>(&ops.node);
        if let (Some(node), Some(x)) = (weight_node, x) {
            let gradient = B::half_linear_weight_gradient(x, gradient.clone(), weight.clone());
            grads.register::<B>(node.id, gradient);
        }
        if let Some(node) = x_node {
            grads.register::<B>(node.id, B::half_linear_input_gradient(gradient, weight));
        }
    }
}

/// Backward step of the lookup; stores the ids and the shape of the table.
#[derive(Debug)]
struct HalfEmbeddingBackward;

impl<B: HalfWeightGradients> Backward<B, 1> for HalfEmbeddingBackward {
    type State = (IntTensor<B>, [usize; 2]);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let ([table], (ids, shape)) = (ops.parents, ops.state);
        let gradient = grads.consume::<B>(&ops.node);
        if let Some(node) = table {
            grads.register::<B>(node.id, B::half_embedding_gradient(shape, ids, gradient));
        }
    }
}

impl<B: HalfWeightGradients, C: CheckpointStrategy> HalfWeights for Autodiff<B, C> {
    fn half_linear(x: FloatTensor<Self>, weight: FloatTensor<Self>, is_trained: bool) -> FloatTensor<Self> {
        let ((x, x_node), (weight, weight_node)) = (x.into_parts(), weight.into_parts());
        let y = B::half_linear(x.clone(), weight.clone(), is_trained);
        match HalfLinearBackward.prepare::<C>([x_node, weight_node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish((is_trained.then_some(x), weight), y),
            OpsKind::UnTracked(prep) => prep.finish(y),
        }
    }

    fn half_embedding(table: FloatTensor<Self>, ids: IntTensor<Self>) -> FloatTensor<Self> {
        let (table, node) = table.into_parts();
        let shape = table.shape().dims();
        let y = B::half_embedding(table, ids.clone());
        match HalfEmbeddingBackward.prepare::<C>([node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish((ids, shape), y),
            OpsKind::UnTracked(prep) => prep.finish(y),
        }
    }
}
