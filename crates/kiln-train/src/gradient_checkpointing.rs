//! Gradient checkpointing: less memory for the backward pass, at the cost of a second forward pass (1604.06174).

use burn::optim::{GradientsAccumulator, GradientsParams};
use kiln_models::Model;
use kiln_nn::context::GradientSink;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Activations recomputed in the backward pass (gradient checkpointing, 1604.06174).
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Default)]
#[serde(rename_all = "snake_case")]
pub enum GradientCheckpointing {
    /// Keep all activations.
    #[default]
    None,
    /// Keep only the input of each block and recompute the block.
    Block,
}

impl GradientCheckpointing {
    /// The sink that collects the gradients of recomputed blocks. `None` without gradient checkpointing.
    pub(crate) fn gradient_sink(self) -> Option<GradientSink> {
        (self == Self::Block).then(GradientSink::default)
    }
}

/// Sum of the gradients of a backward pass: those of the recomputed parts in `sink`, then `gradients` of the outer graph. The
/// order is fixed, so that a step with gradient checkpointing is bit-identical to one without.
pub(crate) fn collect_gradients(model: &Model, gradients: GradientsParams, sink: &GradientSink) -> GradientsParams {
    let recomputed = sink.take();
    if recomputed.is_empty() {
        return gradients;
    }
    let mut sum = GradientsAccumulator::new();
    recomputed.into_iter().chain([gradients]).for_each(|part| sum.accumulate(model, part));
    sum.grads()
}
