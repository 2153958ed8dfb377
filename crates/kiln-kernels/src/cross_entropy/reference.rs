//! Cross-entropy composed of Burn's operations: the oracle, on every backend and float type.

use burn::tensor::{Int, Tensor, activation::log_softmax};

/// −log softmax(logits)\[target\]: `logits [N, V]`, `targets [N] → [N]`, in nats. Forms the log-probabilities `[N, V]`.
pub fn cross_entropy(logits: Tensor<2>, targets: Tensor<1, Int>) -> Tensor<1> {
    let log_p = log_softmax(logits, 1);
    log_p.gather(1, targets.unsqueeze_dim::<2>(1)).squeeze_dim::<1>(1) * -1.0
}
