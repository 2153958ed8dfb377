//! Recurrent form of the scan: the equation, token by token. Order of sums: tokens in ascending order.

use super::{ScanInputs, ScanOutput};
use burn::tensor::Tensor;

/// S_t = diag(exp(g_t)) S_{t−1} + k_tᵀ v_t, o_t = q_t S_t; see the [module](super). T steps of work D · E per head.
pub fn scan(inputs: ScanInputs) -> ScanOutput {
    let [b, _, t, _] = inputs.query.dims();
    let mut state = inputs.state;
    let not_reset = (inputs.resets.neg() + 1.0).reshape([b, 1, t, 1]);
    let step = |i: usize| {
        let token = |x: &Tensor<4>| x.clone().narrow(2, i, 1);
        let decay = (token(&inputs.log_decay).exp() * token(&not_reset)).swap_dims(2, 3);
        state = state.clone() * decay + token(&inputs.key).swap_dims(2, 3).matmul(token(&inputs.value));
        token(&inputs.query).matmul(state.clone())
    };
    let out = Tensor::cat((0..t).map(step).collect(), 2);
    ScanOutput { out, state }
}
