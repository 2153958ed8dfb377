//! What follows a kernel, by its log-sum-exp L: outputs over parts of the keys become one, and a sink takes its share.

use burn::tensor::{
    Tensor,
    activation::{sigmoid, softplus},
};
use kiln_kernels::attention::Output;

/// Outputs over two parts of the keys, put together: each weighs exp(L) of both (2307.08691, section 3.1). Without
/// log-sum-exps (keys weighed each for itself) they add up.
pub fn merge(a: Output, b: Output) -> Output {
    match (a.log_sum, b.log_sum) {
        (Some(x), Some(y)) => {
            let ahead = x.clone() - y.clone();
            let share = sigmoid(ahead.clone()).unsqueeze_dim::<4>(3);
            let out = b.out.clone() + (a.out - b.out) * share;
            // Of a part that sees nothing, L is −∞: only this form stays a number.
            Output { out, log_sum: Some(x.max_pair(y) + softplus(-ahead.abs(), 1.0)) }
        }
        _ => Output { out: a.out + b.out, log_sum: None },
    }
}

/// A logit a head, `[H]`, in the denominator: out · exp(L) / (exp(L) + exp(sink)).
pub fn sink(all: Output, sink: Tensor<1>) -> Tensor<4> {
    let Some(log_sum) = all.log_sum else { return all.out };
    let heads = sink.dims()[0];
    let ahead = log_sum - sink.reshape([1, heads, 1]);
    all.out * sigmoid(ahead).unsqueeze_dim::<4>(3)
}
