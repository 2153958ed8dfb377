//! All pairs of tokens at once (2312.06635, eq. 4), with the differences of the decays formed before they are
//! exponentiated: T² D numbers, for short sequences and as an oracle.

use super::{ScanInputs, ScanOutput, StateUpdate, decayed_scores, masked_pairs};
use burn::tensor::Tensor;

/// o_i = Σ_{j ≤ i} (Σ_d q_id k_jd exp(sum_id − sum_jd)) v_j, and what the state before adds.
pub fn scan(call: ScanInputs) -> ScanOutput {
    let ([b, h, t, d], e) = (call.query.dims(), call.value.dims()[3]);
    let flat = |x: Tensor<4>| {
        let [_, _, t, width] = x.dims();
        x.reshape([b * h, t, width])
    };
    let segment = call.resets.cumsum(1).unsqueeze_dim::<3>(1).expand([b, h, t]).reshape([b * h, t]);
    let (query, key, value, sum) = (flat(call.query), flat(call.key), flat(call.value), flat(call.log_decay).cumsum(1));
    let span = StateUpdate::new(query.clone(), key.clone(), value.clone(), sum.clone(), segment.clone());
    let state = flat(call.state);
    let out = decayed_scores(query, key, sum, masked_pairs(segment)).matmul(value) + span.query.matmul(state.clone());
    let state = state * span.decay + span.increment;
    ScanOutput { out: out.reshape([b, h, t, e]), state: state.reshape([b, h, d, e]) }
}
