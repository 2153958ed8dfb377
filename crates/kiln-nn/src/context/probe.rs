//! Probe: reads and changes intermediate values of a forward pass.

use burn::tensor::Tensor;

/// Reader of intermediate values, by path such as `blocks.3.attention.weights`; `docs/probes.md` lists the paths.
///
/// Interpretability tools (attention maps, logit lens, activation patching) implement it and set it as
/// [`Context::probe`](super::Context::probe).
pub trait Probe: Send {
    /// Whether [`intercept`](Self::intercept) is called for this path.
    ///
    /// Attention weights are formed by the reference kernel only, so a layer whose weights are read uses that kernel; its
    /// plan states the reason.
    fn wants(&self, path: &str) -> bool;

    /// Receives the value at `path` and returns the value that the model continues with: the same tensor to read only. A
    /// tensor with fewer than four dimensions has leading dimensions of 1; the result must have the same shape.
    fn intercept(&mut self, path: &str, value: Tensor<4>) -> Tensor<4>;
}
