//! The grouped product as the equation says: every group's product with all rows but its own set to 0, added up. It
//! costs G products and has static shapes, whatever the groups are.

use burn::tensor::{Int, Tensor};

/// y_r = x_r W_g(r): `x [R, in]`, `weight [G, in, out]`, `group [R] → [R, out]`.
pub fn grouped_linear(x: Tensor<2>, weight: Tensor<3>, group: Tensor<1, Int>) -> Tensor<2> {
    let ([rows, _], [groups, _, _]) = (x.dims(), weight.dims());
    let numbers = Tensor::<1, Int>::arange(0..groups as i64, &group.device()).reshape([groups, 1, 1]);
    let own = numbers.expand([groups, rows, 1]).equal(group.reshape([1, rows, 1]).expand([groups, rows, 1]));
    let x = x.unsqueeze_dim::<3>(0);
    (x.clone() * own.float().cast(x.dtype())).matmul(weight).sum_dim(0).squeeze_dim(0)
}
