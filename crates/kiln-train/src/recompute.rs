//! What is kept for the backward pass, and what is computed again in it.

use burn::optim::{GradientsAccumulator, GradientsParams};
use kiln_models::Model;
use kiln_nn::cx::Sink;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What is computed again in the backward pass instead of being kept (1604.06174).
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Default)]
#[serde(rename_all = "snake_case")]
pub enum Recompute {
    /// Nothing: all of it is kept.
    #[default]
    None,
    /// Blocks: of each, its input alone is kept.
    Blocks,
}

impl Recompute {
    /// Where gradients of recomputed parts come in.
    pub(crate) fn sink(self) -> Option<Sink> {
        (self == Self::Blocks).then(Sink::default)
    }
}

/// All gradients of a backward pass: those of the recomputed parts, then the others.
pub(crate) fn collected(model: &Model, found: GradientsParams, sink: Option<Sink>) -> GradientsParams {
    let Some(sink) = sink else { return found };
    let mut sum = GradientsAccumulator::new();
    sink.take().into_iter().chain([found]).for_each(|part| sum.accumulate(model, part));
    sum.grads()
}
