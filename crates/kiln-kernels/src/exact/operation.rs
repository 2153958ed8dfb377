//! The batch-invariant products as operations on tensors of the CPU backend.

use super::product::{product, product_transposed};
use crate::cpu::{
    backend_api::{Backend, Dispatch, Flex, FlexTensor, FloatTensor, IntTensor, TensorMetadata, backend_extension},
    tensor::{as_f32_slice, f32_tensor},
};
use crate::grouped_linear::fused::group_rows;
use crate::packed::{PackedMatrix, PackedRef, PackedStack, StoredWeight, float_rows, with_last_dim};
use burn::tensor::{Int, Shape, Tensor};
use rayon::prelude::*;

/// Linear map x W, `x […, in]`, `W [in, out] → […, out]`: x of 32-bit floats, W of 32 or 16 bits, by rows or by columns. Without
/// gradients.
///
/// # Panics
/// If a tensor isn't on flex without autodiff, x isn't f32, W isn't a float of 16 or 32 bits, or the shapes don't match.
pub fn linear<const D: usize>(x: Tensor<D>, weight: Tensor<2>) -> Tensor<D> {
    Tensor::from_dispatch(Dispatch::exact_linear(x.into_dispatch(), weight.into_dispatch()))
}

/// Linear map x Wᵀ with a packed matrix, as [`crate::packed::packed_linear`]. Without gradients.
///
/// # Panics
/// If x isn't f32 on flex without autodiff, or its last dimension isn't the number of columns.
pub fn packed_linear<const D: usize>(x: Tensor<D>, matrix: &PackedMatrix) -> Tensor<D> {
    Tensor::from_dispatch(Dispatch::exact_packed_linear(x.into_dispatch(), matrix.clone()))
}

/// Grouped linear map, as [`crate::grouped_linear::grouped_linear`]. Without gradients.
///
/// # Panics
/// If a tensor isn't on flex without autodiff, x or the weight isn't f32, or a group isn't below G.
pub fn grouped_linear(x: Tensor<2>, weight: Tensor<3>, group: Tensor<1, Int>) -> Tensor<2> {
    let y = Dispatch::exact_grouped_linear(x.into_dispatch(), weight.into_dispatch(), group.into_dispatch());
    Tensor::from_dispatch(y)
}

/// Grouped linear map with a packed stack, as [`crate::packed::packed_grouped_linear`]. Without gradients.
///
/// # Panics
/// As [`grouped_linear`].
pub fn packed_grouped_linear(x: Tensor<2>, stack: &PackedStack, group: Tensor<1, Int>) -> Tensor<2> {
    let y = Dispatch::exact_packed_grouped_linear(x.into_dispatch(), group.into_dispatch(), stack.clone());
    Tensor::from_dispatch(y)
}

/// Operations of this module. Not on autodiff backends: they have no gradients.
#[backend_extension(Flex)]
pub trait ExactProducts: Backend {
    /// x W: `x […, in]`, `W [in, out] → […, out]`.
    fn exact_linear(x: FloatTensor<Self>, weight: FloatTensor<Self>) -> FloatTensor<Self>;

    /// x Wᵀ: `x […, columns]`, W `[rows, columns] → […, rows]`.
    fn exact_packed_linear(x: FloatTensor<Self>, matrix: PackedMatrix) -> FloatTensor<Self>;

    /// `x [R, in]`, `weight [G, in, out]`, `group [R] → [R, out]`.
    fn exact_grouped_linear(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        group: IntTensor<Self>,
    ) -> FloatTensor<Self>;

    /// `x [R, in]`, `group [R] → [R, out]`.
    fn exact_packed_grouped_linear(
        x: FloatTensor<Self>,
        group: IntTensor<Self>,
        stack: PackedStack,
    ) -> FloatTensor<Self>;
}

/// Checks that the rows of x are as wide as the matrix has inputs.
fn check_width(x: &FlexTensor, inputs: usize) {
    assert_eq!(x.shape().to_vec().last(), Some(&inputs), "the last dimension of x must be that of the weight");
}

/// Rows of x times the matrix of their group, `[R, from] → [R, to]`. `multiply(g, rows)` is the product with the matrix of group
/// g.
fn grouped_product(
    x: &FlexTensor,
    group: &FlexTensor,
    [groups, from, to]: [usize; 3],
    multiply: impl Fn(usize, &[f32]) -> Vec<f32> + Sync,
) -> FlexTensor {
    let (x, group) = (x.to_contiguous(), group.to_contiguous());
    check_width(&x, from);
    let rows = group_rows(&group, groups);
    let sorted = rows.gather_sorted(as_f32_slice(&x), from);
    let mut out = vec![0.0; x.shape()[0] * to];
    rows.group_slices(&mut out, to).into_par_iter().for_each(|slice| {
        let count = slice.out.len() / to;
        slice.out.copy_from_slice(&multiply(slice.group, &sorted[slice.first_row * from..][..count * from]));
    });
    f32_tensor(rows.scatter_unsorted(&out, to), Shape::from([x.shape()[0], to]))
}

impl ExactProducts for Flex {
    fn exact_linear(x: FlexTensor, weight: FlexTensor) -> FlexTensor {
        let (x, [inputs, outputs]) = (x.to_contiguous(), weight.shape().dims());
        check_width(&x, inputs);
        let stored = StoredWeight::new(weight);
        let matrix = float_rows(&stored.tensor, stored.tensor.shape().dims()).expect("a weight of 16 or 32 bits");
        let multiply = if stored.transposed { product_transposed } else { product };
        f32_tensor(multiply(as_f32_slice(&x), matrix), with_last_dim(x.shape(), outputs))
    }

    fn exact_packed_linear(x: FlexTensor, matrix: PackedMatrix) -> FlexTensor {
        let (x, [rows, columns]) = (x.to_contiguous(), matrix.shape());
        check_width(&x, columns);
        f32_tensor(product_transposed(as_f32_slice(&x), matrix.as_ref()), with_last_dim(x.shape(), rows))
    }

    fn exact_grouped_linear(x: FlexTensor, weight: FlexTensor, group: FlexTensor) -> FlexTensor {
        let weight = weight.to_contiguous();
        let shape @ [groups, from, to]: [usize; 3] = weight.shape().dims();
        let all = float_rows(&weight, [groups * from, to]).expect("weights of 16 or 32 bits");
        grouped_product(&x, &group, shape, |group, x| {
            product(x, PackedRef { shape: [from, to], bytes: all.row_span(group * from, from), ..all })
        })
    }

    fn exact_packed_grouped_linear(x: FlexTensor, group: FlexTensor, stack: PackedStack) -> FlexTensor {
        grouped_product(&x, &group, stack.shape(), |group, x| match stack.is_by_columns() {
            true => product_transposed(x, stack.element(group)),
            false => product(x, stack.element(group)),
        })
    }
}
