//! The grouped product on the CPU: rows are sorted by group, so that each costs one product and no more. The pieces of
//! work have fixed sizes, so that the bits do not depend on threads.

use super::grouped_rows::{BLOCK_ROWS, GroupedRows};
use crate::cpu::backend_api::{
    Autodiff, Backend, Backward, CheckpointStrategy, Checkpointer, Dispatch, Flex, FlexTensor, FloatTensor, Gradients,
    IntTensor, Ops, OpsKind, TensorMetadata, backend_extension,
};
use crate::cpu::matrix::{MatrixMut, MatrixRef};
use crate::cpu::tensor::{as_f32_slice, f32_tensor};
use burn::tensor::{Int, Shape, Tensor};
use rayon::prelude::*;

/// The operation, as every backend that can be differentiated through has it.
#[backend_extension(Flex, Autodiff)]
pub trait GroupedLinear: Backend {
    /// `x [R, in]`, `weight [G, in, out]`, `group [R] → [R, out]`.
    fn grouped_linear(x: FloatTensor<Self>, weight: FloatTensor<Self>, group: IntTensor<Self>) -> FloatTensor<Self>;
}

/// Its gradient, on the backends that compute.
pub trait GroupedLinearGradient: GroupedLinear {
    /// Gradients of x and of the weights.
    fn grouped_linear_gradient(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        group: IntTensor<Self>,
        gradient: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);
}

/// y_r = x_r W_g(r). 32-bit floats on flex only.
pub fn grouped_linear(x: Tensor<2>, weight: Tensor<3>, group: Tensor<1, Int>) -> Tensor<2> {
    let y = Dispatch::grouped_linear(x.into_dispatch(), weight.into_dispatch(), group.into_dispatch());
    Tensor::from_dispatch(y)
}

fn group_rows(group: &FlexTensor, groups: usize) -> GroupedRows {
    GroupedRows::new(group.as_slice::<i32>().expect("contiguous 32-bit integers"), groups)
}

/// Sorted rows of `from` numbers times the matrix of their group, which `matrix` gives as `[from, to]`.
fn grouped_matmul<'a>(
    rows: &GroupedRows,
    sorted: &[f32],
    [from, to]: [usize; 2],
    matrix: impl Fn(usize) -> MatrixRef<'a> + Sync,
) -> Vec<f32> {
    let count = sorted.len() / from;
    let mut out = vec![0.0; count * to];
    rows.group_chunks(&mut out, to).into_par_iter().for_each(|piece| {
        let height = piece.out.len() / to;
        let own = MatrixRef::row_major(sorted, [count, from]).rows(piece.first_row, height);
        MatrixMut::row_major(piece.out, [height, to]).gemm(own, matrix(piece.group), 1.0, false);
    });
    rows.scatter_unsorted(&out, to)
}

/// Σ x_rᵀ g_r over the rows of each group, `[G, in, out]`; both sorted.
fn weight_gradient(rows: &GroupedRows, x: &[f32], gradient: &[f32], [groups, from, to]: [usize; 3]) -> Vec<f32> {
    let mut out = vec![0.0; groups * from * to];
    let panels = from.div_ceil(BLOCK_ROWS);
    let split = out.chunks_mut(from * to).flat_map(|own| own.chunks_mut(BLOCK_ROWS * to)).enumerate();
    let pieces: Vec<(usize, &mut [f32])> = split.collect();
    pieces.into_par_iter().for_each(|(number, piece)| {
        let ((first, count), panel) = (rows.group_range(number / panels), number % panels * BLOCK_ROWS);
        if count == 0 {
            return;
        }
        let of = |values, width| MatrixRef::row_major(values, [x.len() / from, width]).rows(first, count);
        let height = piece.len() / to;
        let left = of(x, from).transposed().rows(panel, height);
        MatrixMut::row_major(piece, [height, to]).gemm(left, of(gradient, to), 1.0, false);
    });
    out
}

impl GroupedLinear for Flex {
    fn grouped_linear(x: FlexTensor, weight: FlexTensor, group: FlexTensor) -> FlexTensor {
        let (x, weight, group) = (x.to_contiguous(), weight.to_contiguous(), group.to_contiguous());
        let (shape, w) = (weight.shape(), as_f32_slice(&weight));
        let (from, to) = (shape[1], shape[2]);
        let rows = group_rows(&group, shape[0]);
        let sorted = rows.gather_sorted(as_f32_slice(&x), from);
        let matrix = |g: usize| MatrixRef::row_major(&w[g * from * to..][..from * to], [from, to]);
        let y = grouped_matmul(&rows, &sorted, [from, to], matrix);
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
        let (x, weight, group) = (x.to_contiguous(), weight.to_contiguous(), group.to_contiguous());
        let gradient = gradient.to_contiguous();
        let (shape, w) = (weight.shape(), as_f32_slice(&weight));
        let (from, to) = (shape[1], shape[2]);
        let rows = group_rows(&group, shape[0]);
        let [x_sorted, g_sorted] =
            [(&x, from), (&gradient, to)].map(|(t, width)| rows.gather_sorted(as_f32_slice(t), width));
        let matrix = |g: usize| MatrixRef::row_major(&w[g * from * to..][..from * to], [from, to]).transposed();
        let of_x = grouped_matmul(&rows, &g_sorted, [to, from], matrix);
        let of_weight = weight_gradient(&rows, &x_sorted, &g_sorted, [shape[0], from, to]);
        (f32_tensor(of_x, x.shape()), f32_tensor(of_weight, shape))
    }
}

#[derive(Debug)]
struct GroupedLinearBackward;

impl<B: GroupedLinearGradient> Backward<B, 2> for GroupedLinearBackward {
    type State = (FloatTensor<B>, FloatTensor<B>, IntTensor<B>);

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let [of_x, of_weight] = ops.parents;
        let gradient = grads.consume::<B>(&ops.node);
        let (x, weight, group) = ops.state;
        let (x, weight) = B::grouped_linear_gradient(x, weight, group, gradient);
        if let Some(node) = of_x {
            grads.register::<B>(node.id, x);
        }
        if let Some(node) = of_weight {
            grads.register::<B>(node.id, weight);
        }
    }
}

impl<B: GroupedLinearGradient, C: CheckpointStrategy> GroupedLinear for Autodiff<B, C> {
    fn grouped_linear(x: FloatTensor<Self>, weight: FloatTensor<Self>, group: IntTensor<Self>) -> FloatTensor<Self> {
        let ((x, of_x), (weight, of_weight)) = (x.into_parts(), weight.into_parts());
        let y = B::grouped_linear(x.clone(), weight.clone(), group.clone());
        match GroupedLinearBackward.prepare::<C>([of_x, of_weight]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish((x, weight, group), y),
            OpsKind::UnTracked(prep) => prep.finish(y),
        }
    }
}
