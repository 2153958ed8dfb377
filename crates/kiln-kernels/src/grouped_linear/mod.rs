//! Grouped linear map: each row times the matrix of its group, y_r = x_r W_g(r). The experts of a mixture are such groups.
//!
//! Gradients, with g_r that of y_r: ∂x_r = g_r W_g(r)ᵀ, and ∂W_e = Σ x_rᵀ g_r over the rows r of group e.
//!
//! Shapes: R rows, `x [R, in]`, G groups, `weight [G, in, out]`, `group [R]` with values in 0..G, `y [R, out]`. Groups may be
//! empty. Cost: fused 2 R in · out operations (each row once), reference G times that. Bound against the reference: 1e-4 for
//! values around 1, in ≤ 150, R ≤ 400 (`grouped_products_are_their_reference`).

pub mod fused;
pub(crate) mod grouped_rows;
pub mod reference;

use burn::tensor::{Int, Tensor};

/// Grouped linear map y_r = x_r W_g(r): `x [R, in]`, `weight [G, in, out]`, `group [R] → [R, out]`.
pub fn grouped_linear(x: Tensor<2>, weight: Tensor<3>, group: Tensor<1, Int>) -> Tensor<2> {
    if crate::cpu::is_cpu_f32(&x) {
        fused::grouped_linear(x, weight, group)
    } else {
        reference::grouped_linear(x, weight, group)
    }
}
