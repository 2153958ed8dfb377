//! The equation, token by token.

use super::{ScanInputs, ScanOutput};
use burn::tensor::Tensor;

/// S_t = diag(exp(g_t)) S_{t−1} + k_tᵀ v_t, o_t = q_t S_t.
pub fn scan(call: ScanInputs) -> ScanOutput {
    let [b, _, t, _] = call.query.dims();
    let mut state = call.state;
    let kept = (call.resets.neg() + 1.0).reshape([b, 1, t, 1]);
    let token = |i: usize| {
        let at = |x: &Tensor<4>| x.clone().narrow(2, i, 1);
        let decay = (at(&call.log_decay).exp() * at(&kept)).swap_dims(2, 3);
        state = state.clone() * decay + at(&call.key).swap_dims(2, 3).matmul(at(&call.value));
        at(&call.query).matmul(state.clone())
    };
    let out = Tensor::cat((0..t).map(token).collect(), 2);
    ScanOutput { out, state }
}
