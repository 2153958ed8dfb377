//! Cross-entropy of a head's logits against target tokens.
//!
//! N positions, V vocabulary.

pub mod fused;
pub mod reference;

use burn::tensor::{Int, Tensor};

/// −log p of each target, in nats: `logits [N, V]`, `targets [N] → [N]`.
pub fn cross_entropy(logits: Tensor<2>, targets: Tensor<1, Int>) -> Tensor<1> {
    if crate::cpu::is_cpu_f32(&logits) {
        fused::cross_entropy(logits, targets)
    } else {
        reference::cross_entropy(logits, targets)
    }
}
