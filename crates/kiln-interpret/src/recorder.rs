//! Keeping what passes.

use burn::tensor::Tensor;
use kiln_nn::Probe;
use kiln_train::optimizer::matches;
use std::sync::{Arc, Mutex, PoisonError};

/// What passed at the paths that are listened to. Clones share it: one goes into the context, the other is read.
///
/// ```
/// # use kiln_interpret::Record;
/// # let mut cx = kiln_nn::Cx::new(&kiln_spec::Layout::packed(&[], 1), &burn::tensor::Device::flex());
/// let record = Record::of(&["blocks.*.residual"]);
/// cx.probe = Some(Box::new(record.clone()));
/// // model.forward(tokens, &mut cx);
/// assert!(record.get("blocks.0.residual").is_none(), "nothing has passed yet");
/// ```
#[derive(Clone, Debug, Default)]
pub struct ActivationRecorder {
    patterns: Vec<String>,
    activations: Arc<Mutex<Vec<(String, Tensor<4>)>>>,
}

impl ActivationRecorder {
    /// Listens at every path that fits one of `patterns`, in which `*` stands for anything.
    pub fn new(patterns: &[&str]) -> Self {
        Self { patterns: patterns.iter().map(ToString::to_string).collect(), ..Self::default() }
    }

    /// What passed, with its paths, in its order.
    pub fn activations(&self) -> Vec<(String, Tensor<4>)> {
        self.activations.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What passed last at `path`; a tensor of fewer than four dimensions has leading ones.
    pub fn get(&self, path: &str) -> Option<Tensor<4>> {
        let seen = self.activations.lock().unwrap_or_else(PoisonError::into_inner);
        seen.iter().rev().find(|(known, _)| known == path).map(|(_, value)| value.clone())
    }
}

impl Probe for ActivationRecorder {
    fn wants(&self, path: &str) -> bool {
        self.patterns.iter().any(|pattern| matches(pattern, path))
    }

    fn intercept(&mut self, path: &str, value: Tensor<4>) -> Tensor<4> {
        self.activations.lock().unwrap_or_else(PoisonError::into_inner).push((path.to_string(), value.clone()));
        value
    }
}
