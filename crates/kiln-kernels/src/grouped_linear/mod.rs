//! A product by groups: each row of x times the matrix of its own group. Experts are such groups.

pub mod fused;
mod grouped_rows;
pub mod reference;

use burn::tensor::{Int, Tensor};

/// y_r = x_r W_g(r): `x [R, in]`, `weight [G, in, out]`, `group [R]` of numbers below G `→ [R, out]`.
pub fn grouped_linear(x: Tensor<2>, weight: Tensor<3>, group: Tensor<1, Int>) -> Tensor<2> {
    if crate::cpu::is_cpu_f32(&x) {
        fused::grouped_linear(x, weight, group)
    } else {
        reference::grouped_linear(x, weight, group)
    }
}
