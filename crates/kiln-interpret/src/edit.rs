//! Probes that change activations: ablation, activation patching (ROME, arXiv 2202.05262) and steering (arXiv
//! 2308.10248).

use burn::tensor::Tensor;
use kiln_nn::Probe;
use kiln_spec::wildcard::matches;

/// Function from a path and its activation to the activation that the model continues with, in the same shape.
pub type EditFn = Box<dyn FnMut(&str, Tensor<4>) -> Tensor<4> + Send>;

/// Change of the activations at all paths that match one pattern.
pub struct ActivationEdit {
    pattern: String,
    edit: EditFn,
}

impl ActivationEdit {
    /// Edit by a function of path and activation, at every path that matches `pattern` (`*` matches any characters).
    ///
    /// The result must have the shape of the activation. Steering adds a direction to the residual stream of one block:
    ///
    /// ```
    /// use burn::tensor::{Device, Tensor};
    /// use kiln_infer::block_on;
    /// use kiln_interpret::ActivationEdit;
    /// use kiln_nn::Probe;
    ///
    /// let device = Device::flex();
    /// let direction = Tensor::<4>::ones([1, 1, 1, 16], &device);
    /// let mut steering = ActivationEdit::new("blocks.3.residual", move |_, value| value + direction.clone() * 0.5);
    /// assert!(steering.wants("blocks.3.residual") && !steering.wants("blocks.4.residual"));
    ///
    /// let residual = Tensor::<4>::zeros([1, 2, 5, 16], &device);
    /// let steered = steering.intercept("blocks.3.residual", residual);
    /// assert!(block_on(steered.into_data_async())?.iter::<f32>().all(|value| value == 0.5));
    /// # Ok::<(), burn::tensor::ExecutionError>(())
    /// ```
    pub fn new(pattern: impl Into<String>, edit: impl FnMut(&str, Tensor<4>) -> Tensor<4> + Send + 'static) -> Self {
        Self { pattern: pattern.into(), edit: Box::new(edit) }
    }
}

impl Probe for ActivationEdit {
    fn wants(&self, path: &str) -> bool {
        matches(&self.pattern, path)
    }

    fn intercept(&mut self, path: &str, value: Tensor<4>) -> Tensor<4> {
        (self.edit)(path, value)
    }
}

/// Ablation: sets the activations at matching paths to zero.
///
/// At the `out` of a part (`blocks.3.attention.out`) it removes the part from the model; at `weights`, the layer attends
/// to nothing.
pub fn ablate(pattern: impl Into<String>) -> ActivationEdit {
    ActivationEdit::new(pattern, |_, value| value.zeros_like())
}

/// Activation patching: replaces the activations at matching paths by `value`, recorded in another forward pass.
///
/// `value` must have the shape of the activation, so both texts need the same number of tokens.
pub fn patch(pattern: impl Into<String>, value: Tensor<4>) -> ActivationEdit {
    ActivationEdit::new(pattern, move |_, _| value.clone())
}

/// Several probes in order: each receives the activation that the one before it returned.
///
/// The front page of the crate has an example. An empty set reads nothing.
#[derive(Default)]
pub struct PatchSet(pub Vec<Box<dyn Probe>>);

impl Probe for PatchSet {
    fn wants(&self, path: &str) -> bool {
        self.0.iter().any(|probe| probe.wants(path))
    }

    fn intercept(&mut self, path: &str, value: Tensor<4>) -> Tensor<4> {
        let interested = self.0.iter_mut().filter(|probe| probe.wants(path));
        interested.fold(value, |value, probe| probe.intercept(path, value))
    }
}
