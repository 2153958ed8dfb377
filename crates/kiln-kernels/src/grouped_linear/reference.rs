//! Grouped linear map composed of Burn's operations: the oracle, on every backend and float type.
//!
//! Every group multiplies all rows, with the rows of other groups set to 0, and the products are added. That costs G products,
//! but the shapes don't depend on the groups, so nothing is read back from the device.

use burn::tensor::{Int, Tensor};

/// y_r = x_r W_g(r): `x [R, in]`, `weight [G, in, out]`, `group [R] → [R, out]`. Memory: G R (in + out).
pub fn grouped_linear(x: Tensor<2>, weight: Tensor<3>, group: Tensor<1, Int>) -> Tensor<2> {
    let ([rows, _], [groups, _, _]) = (x.dims(), weight.dims());
    let ids = Tensor::<1, Int>::arange(0..groups as i64, &group.device()).reshape([groups, 1, 1]);
    let is_member = ids.expand([groups, rows, 1]).equal(group.reshape([1, rows, 1]).expand([groups, rows, 1]));
    let x = x.unsqueeze_dim::<3>(0);
    (x.clone() * is_member.float().cast(x.dtype())).matmul(weight).sum_dim(0).squeeze_dim(0)
}
