//! Products in the arithmetic of a call: fast, or batch-invariant ([`kiln_kernels::exact`]).
//!
//! A part that multiplies by a weight calls these functions, or a [`Linear`](crate::linear::Linear), with the arithmetic of its
//! [`Context`](crate::context::Context). Burn's products choose the order of their sums by the number of rows, so a part that
//! calls them breaks the law `exact` of the registry.

use burn::tensor::{Int, Tensor, module::linear};
use kiln_kernels::{
    exact::{self, Arithmetic},
    grouped_linear, packed,
    packed::{PackedMatrix, PackedStack, half_linear, is_half},
};

/// Product x W, `x […, in]`, `W [in, out] → […, out]`: W of 32-bit or 16-bit floats, by rows or by columns.
pub fn product<const D: usize>(x: Tensor<D>, weight: Tensor<2>, arithmetic: Arithmetic) -> Tensor<D> {
    match arithmetic {
        Arithmetic::Exact => exact::linear(x, weight),
        Arithmetic::Fast if is_half(weight.dtype()) => half_linear(x, weight),
        Arithmetic::Fast => linear(x, weight, None),
    }
}

/// Product x Wᵀ with a packed matrix: `x […, columns] → […, rows]`.
pub fn packed_product<const D: usize>(x: Tensor<D>, matrix: &PackedMatrix, arithmetic: Arithmetic) -> Tensor<D> {
    match arithmetic {
        Arithmetic::Exact => exact::packed_linear(x, matrix),
        Arithmetic::Fast => packed::packed_linear(x, matrix),
    }
}

/// Each row times the matrix of its group: `x [R, in]`, `weight [G, in, out]`, `group [R] → [R, out]`.
pub fn grouped_product(x: Tensor<2>, weight: Tensor<3>, group: Tensor<1, Int>, arithmetic: Arithmetic) -> Tensor<2> {
    match arithmetic {
        Arithmetic::Exact => exact::grouped_linear(x, weight, group),
        Arithmetic::Fast => grouped_linear::grouped_linear(x, weight, group),
    }
}

/// Each row times the packed matrix of its group: `x [R, in]`, `group [R] → [R, out]`.
pub fn packed_grouped_product(
    x: Tensor<2>,
    stack: &PackedStack,
    group: Tensor<1, Int>,
    arithmetic: Arithmetic,
) -> Tensor<2> {
    match arithmetic {
        Arithmetic::Exact => exact::packed_grouped_linear(x, stack, group),
        Arithmetic::Fast => packed::packed_grouped_linear(x, stack, group),
    }
}

/// Product of each head with its own matrix: `x [B, H, T, X]`, `weight [1, H, X, Y] → [B, H, T, Y]`. `x` may have one head that
/// all matrices share, `[B, 1, T, X]`.
pub fn product_by_head(x: Tensor<4>, weight: Tensor<4>, arithmetic: Arithmetic) -> Tensor<4> {
    if !arithmetic.is_exact() {
        return x.matmul(weight);
    }
    let ([b, _, t, from], [_, h, _, to]) = (x.dims(), weight.dims());
    let heads = Tensor::<1, Int>::arange(0..h as i64, &x.device()).reshape([1, h, 1]).expand([b, h, t]);
    let x = x.expand([b, h, t, from]).reshape([b * h * t, from]);
    exact::grouped_linear(x, weight.squeeze_dim::<3>(0), heads.reshape([b * h * t])).reshape([b, h, t, to])
}
