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
    /// The sink that collects the gradients of recomputed blocks: none if nothing is recomputed.
    pub(crate) fn gradient_sink(self) -> Option<GradientSink> {
        (self == Self::Block).then(GradientSink::default)
    }
}

/// All gradients of a backward pass: those in `sink`, of the recomputed blocks, and `gradients`, of all other parameters.
/// They are added in this order, so that a recomputed step gives the same bits.
pub(crate) fn collect_gradients(
    model: &Model,
    gradients: GradientsParams,
    sink: Option<GradientSink>,
) -> GradientsParams {
    let Some(sink) = sink else { return gradients };
    let mut sum = GradientsAccumulator::new();
    sink.take().into_iter().chain([gradients]).for_each(|part| sum.accumulate(model, part));
    sum.grads()
}
