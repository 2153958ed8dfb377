//! Steps after the attention kernel that use its log-sum-exp L: merging outputs over two sets of keys, and sinks.
//!
//! With L_a and L_b over disjoint sets of keys: o = (e^L_a o_a + e^L_b o_b) / (e^L_a + e^L_b), computed as o_b + (o_a − o_b)
//! σ(L_a − L_b), and L = max(L_a, L_b) + softplus(−|L_a − L_b|) (2307.08691, section 3.1). No exponential of L is formed, so
//! nothing overflows.

use burn::tensor::{
    Tensor,
    activation::{sigmoid, softplus},
};
use kiln_kernels::attention::AttentionOutput;

/// Merges attention outputs over two disjoint sets of keys. Without log-sum-exps (sigmoid attention, weights not normalized)
/// the outputs are added.
pub fn merge_partial_outputs(a: AttentionOutput, b: AttentionOutput) -> AttentionOutput {
    match (a.log_sum_exp, b.log_sum_exp) {
        (Some(x), Some(y)) => {
            let difference = x.clone() - y.clone();
            let share = sigmoid(difference.clone()).unsqueeze_dim::<4>(3);
            let out = b.out.clone() + (a.out - b.out) * share;
            // L is −∞ for a query without a visible key in one set; log(e^x + e^y) in this form stays finite then.
            AttentionOutput { out, log_sum_exp: Some(x.max_pair(y) + softplus(-difference.abs(), 1.0)) }
        }
        _ => AttentionOutput { out: a.out + b.out, log_sum_exp: None },
    }
}

/// Applies attention sinks, one logit per head, `[H]`: out · e^L / (e^L + e^sink) = out · σ(L − sink) (gpt-oss; 2309.17453).
pub fn apply_sink(attention: AttentionOutput, sink: Tensor<1>) -> Tensor<4> {
    let Some(log_sum) = attention.log_sum_exp else { return attention.out };
    let heads = sink.dims()[0];
    let difference = log_sum - sink.reshape([1, heads, 1]);
    attention.out * sigmoid(difference).unsqueeze_dim::<4>(3)
}
