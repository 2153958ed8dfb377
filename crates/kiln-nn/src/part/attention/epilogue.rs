//! What follows a kernel, by its log-sum-exp L: outputs over parts of the keys become one, and a sink takes its share.

use burn::tensor::{
    Tensor,
    activation::{sigmoid, softplus},
};
use kiln_kernels::attention::AttentionOutput;

/// Outputs over two parts of the keys, put together: each weighs exp(L) of both (2307.08691, section 3.1). Without
/// log-sum-exps (keys weighed each for itself) they add up.
pub fn merge_partial_outputs(a: AttentionOutput, b: AttentionOutput) -> AttentionOutput {
    match (a.log_sum_exp, b.log_sum_exp) {
        (Some(x), Some(y)) => {
            let ahead = x.clone() - y.clone();
            let share = sigmoid(ahead.clone()).unsqueeze_dim::<4>(3);
            let out = b.out.clone() + (a.out - b.out) * share;
            // Of a part that sees nothing, L is −∞: only this form stays a number.
            AttentionOutput { out, log_sum_exp: Some(x.max_pair(y) + softplus(-ahead.abs(), 1.0)) }
        }
        _ => AttentionOutput { out: a.out + b.out, log_sum_exp: None },
    }
}

/// A logit a head, `[H]`, in the denominator: out · exp(L) / (exp(L) + exp(sink)).
pub fn apply_sink(all: AttentionOutput, sink: Tensor<1>) -> Tensor<4> {
    let Some(log_sum) = all.log_sum_exp else { return all.out };
    let heads = sink.dims()[0];
    let ahead = log_sum - sink.reshape([1, heads, 1]);
    all.out * sigmoid(ahead).unsqueeze_dim::<4>(3)
}
