//! Recurrent form of the scan: the equation, token by token. Order of sums: tokens in ascending order.

use super::{ScanInputs, ScanOutput, heads};
use burn::tensor::Tensor;

/// The equations of the [module](super), one token after the other: T steps of work D · E per head.
pub fn scan(inputs: ScanInputs) -> ScanOutput {
    heads::run(inputs, |inputs| {
        let [b, _, t, _] = inputs.query.dims();
        let mut state = inputs.state;
        let not_reset = (inputs.resets.neg() + 1.0).reshape([b, 1, t, 1]);
        let step = |i: usize| {
            let token = |x: &Tensor<4>| x.clone().narrow(2, i, 1);
            let decay = (token(&inputs.log_decay).exp() * token(&not_reset)).swap_dims(2, 3);
            let decayed = state.clone() * decay;
            let key = token(&inputs.key);
            let write = match &inputs.delta {
                Some(strength) => token(strength) * (token(&inputs.value) - key.clone().matmul(decayed.clone())),
                None => token(&inputs.value),
            };
            state = decayed + key.swap_dims(2, 3).matmul(write);
            token(&inputs.query).matmul(state.clone())
        };
        let out = Tensor::cat((0..t).map(step).collect(), 2);
        (out, state)
    })
}
