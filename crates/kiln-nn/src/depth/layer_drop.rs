//! Layer drop: while training a block is left out at random (1909.11556). Nothing is scaled: a block that runs adds as
//! much as it does at inference, where every block runs.

use super::Deep;
use crate::{
    cx::Cx,
    init::Init,
    junction::Inner,
    variant::{Around, Card, Variant},
};
use burn::{module::Module, tensor::Tensor};
use kiln_spec::Refusal;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Options of [`LayerDrop`].
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct LayerDropConfig {
    /// Probability of leaving the block out of a step (of a part of a step, if it is worked in parts).
    pub rate: f64,
}

impl Default for LayerDropConfig {
    fn default() -> Self {
        Self { rate: 0.2 }
    }
}

/// The block runs or doesn't, for all tokens of a call at once.
#[derive(Module, Debug)]
pub struct LayerDrop {
    #[module(skip)]
    rate: f64,
}

impl Variant for LayerDrop {
    type Config = LayerDropConfig;
    const CARD: Card = Card { time: "1 − rate while training, then 1", ..Card::new("layer_drop", "1909.11556") };

    fn check(config: &LayerDropConfig, _around: &Around, path: &str) -> Result<(), Refusal> {
        if (0.0..1.0).contains(&config.rate) {
            return Ok(());
        }
        let reason = format!("a probability from 0 up to but without 1, found {}", config.rate);
        Err(Refusal::new(format!("{path}.rate"), reason).instead("rate = 0.2"))
    }

    fn init(config: &LayerDropConfig, _around: &Around, _init: &mut Init) -> Self {
        Self { rate: config.rate }
    }
}

impl Deep for LayerDrop {
    fn around(&self, x: Tensor<3>, cx: &mut Cx, block: Inner) -> Tensor<3> {
        let dropped = cx.random("layer_drop", "").is_some_and(|mut random| random.uniform() < self.rate);
        if dropped { x } else { block(x, cx) }
    }
}
