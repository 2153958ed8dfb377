//! Dynamic tanh, no statistics at all: w ⊙ tanh(α x) + b (2503.10622, algorithm 1).
//!
//! As the last norm it wants a head with weights of its own: where the head is tied, b pulls all embeddings together, and
//! a small model then learns how frequent tokens are and little else.

use super::Normalize;
use crate::{
    init::Init,
    variant::{Around, Card, Variant},
};
use burn::{
    module::{Module, Param},
    tensor::Tensor,
};
use kiln_spec::Refusal;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Options of [`DynamicTanh`].
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct DynamicTanhConfig {
    /// Where α, the slope at 0, begins. The paper multiplies embeddings by √hidden; where nothing does, as here, a small
    /// stream stays small, and a larger α learns faster.
    pub alpha: f64,
}

impl Default for DynamicTanhConfig {
    fn default() -> Self {
        Self { alpha: 0.5 }
    }
}

/// Dynamic tanh.
#[derive(Module, Debug)]
pub struct DynamicTanh {
    alpha: Param<Tensor<1>>,
    weight: Param<Tensor<1>>,
    bias: Param<Tensor<1>>,
}

impl Variant for DynamicTanh {
    type Config = DynamicTanhConfig;
    const CARD: Card = Card { example: "{ dyt = { alpha = 2.0 } }", ..Card::new("dyt", "2503.10622") };

    fn check(config: &DynamicTanhConfig, _around: &Around, path: &str) -> Result<(), Refusal> {
        if config.alpha > 0.0 && config.alpha.is_finite() {
            return Ok(());
        }
        let reason = format!("a slope begins above 0, found {}", config.alpha);
        Err(Refusal::new(format!("{path}.alpha"), reason).instead("alpha = 0.5"))
    }

    fn init(config: &DynamicTanhConfig, around: &Around, init: &mut Init) -> Self {
        Self {
            alpha: init.constant([1], config.alpha as f32),
            weight: init.constant([around.hidden], 1.0),
            bias: init.constant([around.hidden], 0.0),
        }
    }
}

impl Normalize for DynamicTanh {
    fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let bent = (x * self.alpha.val().unsqueeze()).tanh();
        bent * self.weight.val().unsqueeze() + self.bias.val().unsqueeze()
    }
}
