//! The one probe point: somebody who listens to what passes, and may change it.

use burn::tensor::Tensor;

/// A listener. Paths look like `blocks.3.attention.weights`.
pub trait Probe: Send {
    /// Whether `at` is to be called for this path. A layer whose fused kernel never forms what is listened to takes
    /// another kernel, and says so in its plan.
    fn wants(&self, path: &str) -> bool;

    /// Reads what passes, and returns what goes on instead: the same tensor to read only. A tensor of fewer than
    /// four dimensions has leading ones.
    fn intercept(&mut self, path: &str, value: Tensor<4>) -> Tensor<4>;
}
