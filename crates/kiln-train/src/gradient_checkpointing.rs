//! What is kept for the backward pass, and what is computed again in it.

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
    /// Where gradients of recomputed parts come in.
    pub(crate) fn gradient_sink(self) -> Option<GradientSink> {
        (self == Self::Block).then(GradientSink::default)
    }
}

/// All gradients of a backward pass: those of the recomputed parts, then the others.
pub(crate) fn collect_gradients(model: &Model, found: GradientsParams, sink: Option<GradientSink>) -> GradientsParams {
    let Some(sink) = sink else { return found };
    let mut sum = GradientsAccumulator::new();
    sink.take().into_iter().chain([found]).for_each(|part| sum.accumulate(model, part));
    sum.grads()
}
