//! What a method does to its adapters after an optimizer step: changes that are no gradient step, such as a rank that shrinks.
//!
//! The training step calls [`Adapter::AFTER_STEP`](super::Adapter::AFTER_STEP) once per optimizer step, however many micro-batches
//! it has and whether blocks are recomputed, with all adapters of one method and name together: a budget may be shared by all
//! sites. What the method remembers from step to step is its state, which checkpoints hold.

use burn::tensor::Tensor;
use std::collections::BTreeMap;

/// Position of an optimizer step in its stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepProgress {
    /// Number of completed steps, this one included.
    pub step: u64,
    /// Number of steps of the stage.
    pub total_steps: u64,
}

/// The adapter of one site after an optimizer step. All tensors are flat, `[n]` in row-major order, and outside of the autodiff
/// graph.
#[derive(Clone, Debug, Default)]
pub struct AdapterStep {
    /// Values of the parameters after the update, by their names in the module: `a`. The model takes over what the method
    /// changes.
    pub values: BTreeMap<String, Tensor<1>>,
    /// Gradients that the update was made of: summed over micro-batches, and clipped. A frozen parameter has none.
    pub gradients: BTreeMap<String, Tensor<1>>,
    /// State of the method at this site, by names without dots; empty before the first step.
    pub state: BTreeMap<String, Tensor<1>>,
}

/// Changes the adapters of a method, each with its hyperparameters, after an optimizer step.
pub type AfterStep<Spec> = fn(&mut [(&Spec, &mut AdapterStep)], StepProgress);
