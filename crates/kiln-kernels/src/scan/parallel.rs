//! Parallel form of the scan: all pairs of tokens at once (2312.06635, eq. 4). For short sequences and as an oracle.
//!
//! The paper divides keys by the cumulative decay, which overflows for strong decay. Here the differences of the cumulative
//! log decays are formed before the exponential, for each pair and dimension.

use super::{
    ScanInputs, ScanOutput, delta,
    heads::{self, HeadInputs, count_resets, flatten_heads},
    spans::{StateUpdate, decayed_scores, masked_pairs, reading_rows},
};
use burn::tensor::Tensor;

/// o_i = Σ_{j ≤ i} (Σ_d q_id k_jd exp(c_id − c_jd)) v_j + (q_i ⊙ exp(c_i)) S_0, with c the cumulative log decay. With the
/// delta rule, v_j is what token j writes, from one triangular system over all tokens.
pub fn scan(inputs: ScanInputs) -> ScanOutput {
    heads::run(inputs, |inputs| match inputs.delta.is_some() {
        true => {
            let t = inputs.query.dims()[2];
            delta::scan(inputs, t)
        }
        false => additive(inputs),
    })
}

/// The additive rule.
fn additive(inputs: HeadInputs) -> (Tensor<4>, Tensor<4>) {
    let ([b, h, t, d], e) = (inputs.query.dims(), inputs.value.dims()[3]);
    let segment = count_resets(inputs.resets, h, [1, t]);
    let [query, key, value] = [inputs.query, inputs.key, inputs.value].map(flatten_heads);
    let cumulative = flatten_heads(inputs.log_decay).cumsum(1);
    let update = StateUpdate::new(key.clone(), cumulative.clone(), segment.clone());
    let state = flatten_heads(inputs.state);
    let reading = reading_rows(query.clone(), cumulative.clone(), segment.clone());
    let own = decayed_scores(query, key, cumulative, masked_pairs(segment, 0)).matmul(value.clone());
    let out = own + reading.matmul(state.clone());
    let increment = update.increment(value);
    let state = state * update.decay + increment;
    (out.reshape([b, h, t, e]), state.reshape([b, h, d, e]))
}
