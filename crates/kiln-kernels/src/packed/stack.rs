//! Stack of packed matrices and the grouped linear map with it: each row of x times the matrix of its group, y_r = x_r W_g(r).
//! The experts of a mixture are such groups.
//!
//! Rows are sorted by group. Each group that has rows is multiplied like a packed matrix ([`super::fused`]): its matrix is
//! dequantized in tiles of 128 rows, once for all rows of the group, and for a single row not at all where the format has a
//! product from packed rows. Groups without rows cost nothing. The gradient of x, ∂x_r = ∂y_r W_g(r)ᵀ, is computed in the same way;
//! the matrices have none. Reference: [`packed_grouped_linear_reference`], with dequantized matrices. Bound: 1e-5 of the greatest
//! element, forward and backward (`grouped_products_and_gradients_are_those_of_the_numbers`).
//!
//! Order of sums: that of the product of one group, which depends on the number of its rows; no sum goes across groups.

use super::{
    PackedMatrix,
    fused::{product, product_transposed},
    matrix::PackedRef,
};
use crate::cpu::{
    backend_api::{
        Autodiff, Backend, Backward, CheckpointStrategy, Checkpointer, Dispatch, Flex, FlexTensor, FloatTensor,
        Gradients, IntTensor, Ops, OpsKind, TensorMetadata, backend_extension,
    },
    is_cpu_f32,
    rows::transposed,
    tensor::{as_f32_slice, f32_tensor},
};
use crate::grouped_linear::{fused::group_rows, reference::grouped_linear};
use burn::tensor::{DType, Int, Shape, Tensor, TensorData};
use rayon::prelude::*;

/// Packed matrices of one shape and format, one after the other. Clones share the bytes.
#[derive(Clone, Debug)]
pub struct PackedStack {
    /// The rows of all matrices.
    matrix: PackedMatrix,
    count: usize,
    /// Whether the packed rows are columns of the map's matrices `[in, out]`: its outputs.
    by_columns: bool,
}

impl PackedStack {
    /// Returns `count` matrices whose packed rows are the rows of `matrix`; with `by_columns` they are the columns of the map
    /// `[in, out]`. `None` if the rows can't be divided among them.
    pub fn new(matrix: PackedMatrix, count: usize, by_columns: bool) -> Option<Self> {
        (count > 0 && matrix.shape()[0].is_multiple_of(count)).then_some(Self { matrix, count, by_columns })
    }

    /// Returns number, inputs and outputs of the maps: `[G, in, out]`.
    pub fn shape(&self) -> [usize; 3] {
        let [rows, columns] = [self.matrix.shape()[0] / self.count, self.matrix.shape()[1]];
        if self.by_columns { [self.count, columns, rows] } else { [self.count, rows, columns] }
    }

    /// Whether the packed rows are columns of the map's matrices.
    pub(crate) fn is_by_columns(&self) -> bool {
        self.by_columns
    }

    /// The packed rows of one matrix.
    pub(crate) fn element(&self, index: usize) -> PackedRef<'_> {
        let (all, rows) = (self.matrix.as_ref(), self.matrix.shape()[0] / self.count);
        PackedRef { shape: [rows, all.shape[1]], bytes: all.row_span(index * rows, rows), ..all }
    }

    /// Product of rows of x with the map of a group, x W, or, for the gradient, x Wᵀ.
    fn product(&self, group: usize, x: &[f32], is_gradient: bool) -> Vec<f32> {
        let matrix = self.element(group);
        if self.by_columns == is_gradient { product(x, matrix) } else { product_transposed(x, matrix) }
    }

    /// Rows times the maps of their groups, `[R, from] → [R, to]`.
    fn grouped_product(&self, x: &FlexTensor, group: &FlexTensor, is_gradient: bool) -> FlexTensor {
        let (x, group, [groups, from, to]) = (x.to_contiguous(), group.to_contiguous(), self.shape());
        let [from, to] = if is_gradient { [to, from] } else { [from, to] };
        assert_eq!(x.shape().to_vec().last(), Some(&from), "the last dimension of x must be that of the maps");
        let rows = group_rows(&group, groups);
        let sorted = rows.gather_sorted(as_f32_slice(&x), from);
        let mut out = vec![0.0; x.shape()[0] * to];
        rows.group_slices(&mut out, to).into_par_iter().for_each(|slice| {
            let count = slice.out.len() / to;
            let x = &sorted[slice.first_row * from..][..count * from];
            slice.out.copy_from_slice(&self.product(slice.group, x, is_gradient));
        });
        f32_tensor(rows.scatter_unsorted(&out, to), Shape::from([x.shape()[0], to]))
    }
}

/// Grouped linear map y_r = x_r W_g(r) with a packed stack: `x [R, in]`, `group [R]` with values in 0..G, `→ [R, out]`.
/// Differentiable in x.
///
/// # Panics
/// If the last dimension of x isn't that of the maps, or a group isn't below G.
pub fn packed_grouped_linear(x: Tensor<2>, stack: &PackedStack, group: Tensor<1, Int>) -> Tensor<2> {
    if !is_cpu_f32(&x) {
        return packed_grouped_linear_reference(x, stack, group);
    }
    Tensor::from_dispatch(Dispatch::packed_grouped_linear(x.into_dispatch(), group.into_dispatch(), stack.clone()))
}

/// The same by dequantizing all matrices: the oracle, on every backend and float type.
pub fn packed_grouped_linear_reference(x: Tensor<2>, stack: &PackedStack, group: Tensor<1, Int>) -> Tensor<2> {
    let [count, from, to] = stack.shape();
    let rows = TensorData::new(stack.matrix.dequantize(), [count * from * to]);
    let values = match stack.by_columns {
        true => TensorData::from_bytes_vec(transposed(rows.as_bytes(), 4, [to, from]), [count, from, to], DType::F32),
        false => TensorData::from_bytes_vec(rows.as_bytes().to_vec(), [count, from, to], DType::F32),
    };
    let weight = Tensor::<3>::from_data(values, (&x.device().without_autodiff(), x.dtype()));
    grouped_linear(x.clone(), if x.is_autodiff() { weight.autodiff() } else { weight }, group)
}

/// Operation of [`packed_grouped_linear`] on Burn's backends.
#[backend_extension(Flex, Autodiff)]
pub trait PackedGroupedLinear: Backend {
    /// `x [R, in]`, `group [R] → [R, out]`.
    fn packed_grouped_linear(x: FloatTensor<Self>, group: IntTensor<Self>, stack: PackedStack) -> FloatTensor<Self>;
}

/// Gradient of the grouped linear map, on backends without autodiff. The stack has none.
pub trait PackedGroupedLinearGradient: PackedGroupedLinear {
    /// Returns the gradient of x: `[R, out] → [R, in]`.
    fn packed_grouped_linear_gradient(
        gradient: FloatTensor<Self>,
        group: IntTensor<Self>,
        stack: PackedStack,
    ) -> FloatTensor<Self>;
}

impl PackedGroupedLinear for Flex {
    fn packed_grouped_linear(x: FlexTensor, group: FlexTensor, stack: PackedStack) -> FlexTensor {
        stack.grouped_product(&x, &group, false)
    }
}

impl PackedGroupedLinearGradient for Flex {
    fn packed_grouped_linear_gradient(gradient: FlexTensor, group: FlexTensor, stack: PackedStack) -> FlexTensor {
        stack.grouped_product(&gradient, &group, true)
    }
}

/// Backward step; stores the groups and the stack (shared, not copied).
#[derive(Debug)]
struct PackedGroupedLinearBackward;

impl<B: PackedGroupedLinearGradient> Backward<B, 1> for PackedGroupedLinearBackward {
    type State = (IntTensor<B>, PackedStack);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let ([parent], (group, stack)) = (ops.parents, ops.state);
        let gradient = grads.consume::<B>(&ops.node);
        if let Some(node) = parent {
            grads.register::<B>(node.id, B::packed_grouped_linear_gradient(gradient, group, stack));
        }
    }
}

impl<B: PackedGroupedLinearGradient, C: CheckpointStrategy> PackedGroupedLinear for Autodiff<B, C> {
    fn packed_grouped_linear(x: FloatTensor<Self>, group: IntTensor<Self>, stack: PackedStack) -> FloatTensor<Self> {
        let (x, node) = x.into_parts();
        let y = B::packed_grouped_linear(x, group.clone(), stack.clone());
        match PackedGroupedLinearBackward.prepare::<C>([node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish((group, stack), y),
            OpsKind::UnTracked(prep) => prep.finish(y),
        }
    }
}
