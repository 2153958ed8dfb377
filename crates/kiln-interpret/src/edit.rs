//! Changing what passes: patching (2202.05262), ablation, steering (2308.10248).

use burn::tensor::Tensor;
use kiln_nn::Probe;
use kiln_train::optimizer::matches;

/// From a path and what passes there to what goes on.
pub type EditFn = Box<dyn FnMut(&str, Tensor<4>) -> Tensor<4> + Send>;

/// A change of what passes at some paths.
pub struct ActivationEdit {
    pattern: String,
    edit: EditFn,
}

impl ActivationEdit {
    /// What passes at a path that fits `pattern` (`*` stands for anything) becomes what `change` makes of it, in the
    /// same shape.
    pub fn new(pattern: impl Into<String>, change: impl FnMut(&str, Tensor<4>) -> Tensor<4> + Send + 'static) -> Self {
        Self { pattern: pattern.into(), edit: Box::new(change) }
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

/// What passes there becomes 0: of a part's `out`, the model without this part.
pub fn ablate(pattern: impl Into<String>) -> ActivationEdit {
    ActivationEdit::new(pattern, |_, value| value.zeros_like())
}

/// What passes there becomes `value`, from another run.
pub fn patch(pattern: impl Into<String>, value: Tensor<4>) -> ActivationEdit {
    ActivationEdit::new(pattern, move |_, _| value.clone())
}

/// Several listeners, each given what the one before it leaves.
#[derive(Default)]
pub struct PatchSet(pub Vec<Box<dyn Probe>>);

impl Probe for PatchSet {
    fn wants(&self, path: &str) -> bool {
        self.0.iter().any(|probe| probe.wants(path))
    }

    fn intercept(&mut self, path: &str, value: Tensor<4>) -> Tensor<4> {
        let listening = self.0.iter_mut().filter(|probe| probe.wants(path));
        listening.fold(value, |value, probe| probe.intercept(path, value))
    }
}
