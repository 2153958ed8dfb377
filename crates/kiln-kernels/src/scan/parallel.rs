//! Parallel form of the scan: all pairs of tokens at once (2312.06635, eq. 4). For short sequences and as an oracle.
//!
//! The paper divides keys by the cumulative decay, which overflows for strong decay. Here the differences of the cumulative
//! log decays are formed before the exponential, for each pair and dimension: T² D values.

use super::{ScanInputs, ScanOutput, StateUpdate, decayed_scores, masked_pairs};
use burn::tensor::Tensor;

/// o_i = Σ_{j ≤ i} (Σ_d q_id k_jd exp(c_id − c_jd)) v_j + (q_i ⊙ exp(c_i)) S_0, with c the cumulative log decay.
pub fn scan(inputs: ScanInputs) -> ScanOutput {
    let ([b, h, t, d], e) = (inputs.query.dims(), inputs.value.dims()[3]);
    let segment = inputs.resets.cumsum(1).unsqueeze_dim::<3>(1).expand([b, h, t]).reshape([b * h, t]);
    let [query, key, value] = [inputs.query, inputs.key, inputs.value].map(flatten_heads);
    let cumulative = flatten_heads(inputs.log_decay).cumsum(1);
    let update = StateUpdate::new(query.clone(), key.clone(), value.clone(), cumulative.clone(), segment.clone());
    let state = flatten_heads(inputs.state);
    let own = decayed_scores(query, key, cumulative, masked_pairs(segment)).matmul(value);
    let out = own + update.query.matmul(state.clone());
    let state = state * update.decay + update.increment;
    ScanOutput { out: out.reshape([b, h, t, e]), state: state.reshape([b, h, d, e]) }
}

/// `[B, H, T, X] → [B·H, T, X]`.
fn flatten_heads(x: Tensor<4>) -> Tensor<3> {
    let [b, h, t, width] = x.dims();
    x.reshape([b * h, t, width])
}
