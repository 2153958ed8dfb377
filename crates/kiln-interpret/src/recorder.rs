//! A probe that stores activations.

use burn::tensor::Tensor;
use kiln_nn::Probe;
use kiln_spec::wildcard::matches;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A path of the forward pass and the activation there.
type Activation = (String, Tensor<4>);

/// Recorder of the activations at chosen paths, in the order of the forward pass.
///
/// Clones share what they have recorded: one clone goes into the [`Context`](kiln_nn::Context), the other one is read
/// after the forward pass. Tensors stay on their device and in their autodiff graph; nothing is copied. Repeated forward
/// passes with one recorder add to it.
///
/// ```
/// use burn::tensor::Device;
/// use kiln_interpret::ActivationRecorder;
/// use kiln_nn::Context;
/// use kiln_spec::Layout;
///
/// let recorder = ActivationRecorder::new(&["blocks.*.residual"]);
/// let mut cx = Context::new(&Layout::packed(&[], 1), &Device::flex());
/// cx.probe = Some(Box::new(recorder.clone()));
/// // model.forward(tokens, &mut cx);
/// assert!(recorder.get("blocks.0.residual").is_none(), "no forward pass yet");
/// ```
#[derive(Clone, Debug, Default)]
pub struct ActivationRecorder {
    patterns: Vec<String>,
    activations: Arc<Mutex<Vec<Activation>>>,
}

impl ActivationRecorder {
    /// Recorder for every path that matches one of `patterns`, in which `*` matches any characters.
    pub fn new(patterns: &[&str]) -> Self {
        Self { patterns: patterns.iter().map(ToString::to_string).collect(), ..Self::default() }
    }

    /// Returns all recorded activations with their paths, in the order of the forward pass.
    ///
    /// A path occurs once for each time it was reached: several times after several forward passes.
    pub fn activations(&self) -> Vec<(String, Tensor<4>)> {
        self.lock().clone()
    }

    /// Returns the last activation recorded at exactly `path`, or `None` if there is none.
    ///
    /// A tensor of fewer than four dimensions has leading dimensions of 1: `[1, B, T, M]` for a residual stream.
    pub fn get(&self, path: &str) -> Option<Tensor<4>> {
        self.lock().iter().rev().find(|(recorded, _)| recorded == path).map(|(_, value)| value.clone())
    }

    /// The list of activations. A panic of another thread leaves the list complete, so that poisoning is ignored.
    fn lock(&self) -> MutexGuard<'_, Vec<Activation>> {
        self.activations.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Probe for ActivationRecorder {
    fn wants(&self, path: &str) -> bool {
        self.patterns.iter().any(|pattern| matches(pattern, path))
    }

    fn intercept(&mut self, path: &str, value: Tensor<4>) -> Tensor<4> {
        self.lock().push((path.to_string(), value.clone()));
        value
    }
}
