//! Probe: reads and changes intermediate values of a forward pass.

use burn::tensor::Tensor;

/// Reader of intermediate values, by path such as `blocks.3.attention.weights`; `docs/probes.md` lists the paths.
///
/// Interpretability tools (attention maps, logit lens, activation patching) implement it and set it as
/// [`Context::probe`](super::Context::probe).
pub trait Probe: Send {
    /// Whether [`intercept`](Self::intercept) is called for this path.
    ///
    /// Only the reference kernel materializes attention weights, so probing the weights of a layer selects that kernel
    /// ([`KernelPlan`](kiln_kernels::planner::KernelPlan) gives this as the reason).
    fn wants(&self, path: &str) -> bool;

    /// Returns the value that the model continues with. To observe without changing anything, return `value` itself.
    ///
    /// A tensor with fewer than four dimensions has leading dimensions of 1. The result must have the shape of `value`.
    fn intercept(&mut self, path: &str, value: Tensor<4>) -> Tensor<4>;
}
