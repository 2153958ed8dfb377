//! LayerDrop: in training a block is skipped with probability `rate` (1909.11556, section 3.2).
//!
//! One draw for all tokens of a call, keyed by step, micro-batch and block. The output of a block that runs isn't scaled, as
//! in the paper; at inference every block runs. Expected training cost: (1 − rate) of the block.

use super::{DepthNeeds, DepthRule, TokenCoverage};
use crate::{
    context::Context,
    init::Initializer,
    junction::SublayerFn,
    variant::{BuildContext, Card, Variant},
};
use burn::{module::Module, tensor::Tensor};
use kiln_spec::ValidationError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Options of [`LayerDrop`].
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct LayerDropConfig {
    /// Probability of skipping the block, drawn for each step (for each part of a step with gradient accumulation).
    pub rate: f64,
}

impl Default for LayerDropConfig {
    fn default() -> Self {
        Self { rate: 0.2 }
    }
}

/// LayerDrop. No parameters.
#[derive(Module, Debug)]
pub struct LayerDrop {
    #[module(skip)]
    rate: f64,
}

impl Variant for LayerDrop {
    type Config = LayerDropConfig;
    const CARD: Card = Card { time: "1 − rate while training, then 1", ..Card::new("layer_drop", "1909.11556") };

    fn check(config: &LayerDropConfig, _build: &BuildContext, path: &str) -> Result<(), ValidationError> {
        if (0.0..1.0).contains(&config.rate) {
            return Ok(());
        }
        let reason = format!("expected a number of at least 0 and below 1, found {}", config.rate);
        Err(ValidationError::new(format!("{path}.rate"), reason).with_suggestion("rate = 0.2"))
    }

    fn init(config: &LayerDropConfig, _build: &BuildContext, _init: &mut Initializer) -> Self {
        Self { rate: config.rate }
    }
}

impl DepthNeeds for LayerDropConfig {
    fn token_coverage(&self) -> TokenCoverage {
        TokenCoverage::AllOrNone
    }
}

impl DepthRule for LayerDrop {
    fn forward(&self, x: Tensor<3>, cx: &mut Context, block: SublayerFn) -> Tensor<3> {
        let is_skipped = cx.random("layer_drop", "").is_some_and(|mut random| random.uniform() < self.rate);
        if is_skipped { x } else { block(x, cx) }
    }
}
