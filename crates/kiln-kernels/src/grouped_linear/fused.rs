//! Grouped linear map on the CPU: rows sorted by group, so each row is multiplied once.
//!
//! Tasks: forward and ∂x, up to 128 rows of one group; ∂W, up to 128 rows (inputs) of one group's matrix, over all rows of
//! the group. No two tasks add to the same output, and an element's sum is inside one matrix product, over the rows of its
//! group in their order. The bits don't depend on threads (`threads_change_no_bit`).

use super::grouped_rows::{BLOCK_ROWS, GroupedRows};
use crate::cpu::backend_api::{
    Autodiff, Backend, Backward, CheckpointStrategy, Checkpointer, Dispatch, Flex, FlexTensor, FloatTensor, Gradients,
    IntTensor, Ops, OpsKind, TensorMetadata, backend_extension,
};
use crate::cpu::matrix::{MatrixMut, MatrixRef};
use crate::cpu::tensor::{as_f32_slice, f32_tensor};
use burn::tensor::{Int, Shape, Tensor};
use rayon::prelude::*;

/// Operation of [`grouped_linear`] on Burn's backends.
#[backend_extension(Flex, Autodiff)]
pub trait GroupedLinear: Backend {
    /// `x [R, in]`, `weight [G, in, out]`, `group [R] → [R, out]`.
    fn grouped_linear(x: FloatTensor<Self>, weight: FloatTensor<Self>, group: IntTensor<Self>) -> FloatTensor<Self>;
}

/// Gradient of the grouped linear map, on backends without autodiff.
pub trait GroupedLinearGradient: GroupedLinear {
    /// Returns the gradients of x `[R, in]` and of the weight `[G, in, out]` from that of the output, `[R, out]`.
    fn grouped_linear_gradient(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        group: IntTensor<Self>,
        gradient: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);
}

/// Grouped linear map y_r = x_r W_g(r): `x [R, in]`, `weight [G, in, out]`, `group [R] → [R, out]`.
///
/// # Panics
/// If x or the weight isn't f32 on flex, or a group isn't below G.
pub fn grouped_linear(x: Tensor<2>, weight: Tensor<3>, group: Tensor<1, Int>) -> Tensor<2> {
    let y = Dispatch::grouped_linear(x.into_dispatch(), weight.into_dispatch(), group.into_dispatch());
    Tensor::from_dispatch(y)
}

/// The sorted order of the rows.
pub(crate) fn group_rows(group: &FlexTensor, groups: usize) -> GroupedRows {
    GroupedRows::new(group.as_slice::<i32>().expect("contiguous 32-bit integers"), groups)
}

/// Sorted rows of `from` values times the matrix of their group, `[from, to]`; `matrix(g)` is that of group g. Returns rows in
/// their original order.
fn grouped_matmul<'a>(
    rows: &GroupedRows,
    sorted: &[f32],
    [from, to]: [usize; 2],
    matrix: impl Fn(usize) -> MatrixRef<'a> + Sync,
) -> Vec<f32> {
    let count = sorted.len() / from;
    let mut out = vec![0.0; count * to];
    rows.group_chunks(&mut out, to).into_par_iter().for_each(|chunk| {
        let height = chunk.out.len() / to;
        let own = MatrixRef::row_major(sorted, [count, from]).rows(chunk.first_row, height);
        MatrixMut::row_major(chunk.out, [height, to]).gemm(own, matrix(chunk.group), 1.0, false);
    });
    rows.scatter_unsorted(&out, to)
}

/// Σ x_rᵀ g_r over the rows of each group, `[G, in, out]`, from sorted rows; 0 for an empty group. A panel is 128 rows of a
/// group's matrix.
fn weight_gradient(rows: &GroupedRows, x: &[f32], gradient: &[f32], [groups, from, to]: [usize; 3]) -> Vec<f32> {
    let mut out = vec![0.0; groups * from * to];
    let panels = from.div_ceil(BLOCK_ROWS);
    let matrices = out.chunks_mut(from * to);
    let panel_memory: Vec<&mut [f32]> = matrices.flat_map(|matrix| matrix.chunks_mut(BLOCK_ROWS * to)).collect();
    panel_memory.into_par_iter().enumerate().for_each(|(number, panel)| {
        let (first, count) = rows.group_range(number / panels);
        let first_input = number % panels * BLOCK_ROWS;
        if count == 0 {
            return;
        }
        let member_rows = |values, width| MatrixRef::row_major(values, [x.len() / from, width]).rows(first, count);
        let height = panel.len() / to;
        let left = member_rows(x, from).transposed().rows(first_input, height);
        MatrixMut::row_major(panel, [height, to]).gemm(left, member_rows(gradient, to), 1.0, false);
    });
    out
}

/// Matrix `[from, to]` of one group of a weight `[G, from, to]`.
fn group_matrix(weight: &[f32], group: usize, [from, to]: [usize; 2]) -> MatrixRef<'_> {
    MatrixRef::row_major(&weight[group * from * to..][..from * to], [from, to])
}

impl GroupedLinear for Flex {
    fn grouped_linear(x: FlexTensor, weight: FlexTensor, group: FlexTensor) -> FlexTensor {
        let x = x.to_contiguous();
        let weight = weight.to_contiguous();
        let group = group.to_contiguous();
        let (shape, w) = (weight.shape(), as_f32_slice(&weight));
        let (from, to) = (shape[1], shape[2]);
        let rows = group_rows(&group, shape[0]);
        let sorted = rows.gather_sorted(as_f32_slice(&x), from);
        let y = grouped_matmul(&rows, &sorted, [from, to], |g| group_matrix(w, g, [from, to]));
        f32_tensor(y, Shape::from([x.shape()[0], to]))
    }
}

impl GroupedLinearGradient for Flex {
    fn grouped_linear_gradient(
        x: FlexTensor,
        weight: FlexTensor,
        group: FlexTensor,
        gradient: FlexTensor,
    ) -> (FlexTensor, FlexTensor) {
        let x = x.to_contiguous();
        let weight = weight.to_contiguous();
        let group = group.to_contiguous();
        let gradient = gradient.to_contiguous();
        let (shape, w) = (weight.shape(), as_f32_slice(&weight));
        let (from, to) = (shape[1], shape[2]);
        let rows = group_rows(&group, shape[0]);
        let x_sorted = rows.gather_sorted(as_f32_slice(&x), from);
        let gradient_sorted = rows.gather_sorted(as_f32_slice(&gradient), to);
        let dx = grouped_matmul(&rows, &gradient_sorted, [to, from], |g| group_matrix(w, g, [from, to]).transposed());
        let dw = weight_gradient(&rows, &x_sorted, &gradient_sorted, [shape[0], from, to]);
        (f32_tensor(dx, x.shape()), f32_tensor(dw, shape))
    }
}

/// Backward step; stores x, weight and groups.
#[derive(Debug)]
struct GroupedLinearBackward;

impl<B: GroupedLinearGradient> Backward<B, 2> for GroupedLinearBackward {
    type State = (FloatTensor<B>, FloatTensor<B>, IntTensor<B>);

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let [x_node, weight_node] = ops.parents;
        let gradient = grads.consume::<B>(&ops.node);
        let (x, weight, group) = ops.state;
        let (x, weight) = B::grouped_linear_gradient(x, weight, group, gradient);
        if let Some(node) = x_node {
            grads.register::<B>(node.id, x);
        }
        if let Some(node) = weight_node {
            grads.register::<B>(node.id, weight);
        }
    }
}

impl<B: GroupedLinearGradient, C: CheckpointStrategy> GroupedLinear for Autodiff<B, C> {
    fn grouped_linear(x: FloatTensor<Self>, weight: FloatTensor<Self>, group: IntTensor<Self>) -> FloatTensor<Self> {
        let (x, x_node) = x.into_parts();
        let (weight, weight_node) = weight.into_parts();
        let y = B::grouped_linear(x.clone(), weight.clone(), group.clone());
        match GroupedLinearBackward.prepare::<C>([x_node, weight_node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish((x, weight, group), y),
            OpsKind::UnTracked(prep) => prep.finish(y),
        }
    }
}
