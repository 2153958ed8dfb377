//! Dynamic tanh, no statistics at all: w ⊙ tanh(α x) + b (2503.10622, algorithm 1).
//!
//! As the last norm it wants a head with weights of its own: where the head is tied, b pulls all embeddings together, and
//! a small model then learns how frequent tokens are and little else.

use super::Normalization;
use crate::{
    init::Initializer,
    variant::{BuildContext, Card, Variant},
};
use burn::{
    module::{Module, Param},
    tensor::Tensor,
};
use kiln_spec::ValidationError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Options of [`DynamicTanh`].
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct DynamicTanhConfig {
    /// Initial value of α, the slope at 0. The paper scales embeddings by √hidden; without that, as here, a larger
    /// value learns faster.
    pub alpha_init: f64,
}

impl Default for DynamicTanhConfig {
    fn default() -> Self {
        Self { alpha_init: 0.5 }
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
    const CARD: Card =
        Card { example: "{ dynamic_tanh = { alpha_init = 2.0 } }", ..Card::new("dynamic_tanh", "2503.10622") };

    fn check(config: &DynamicTanhConfig, _around: &BuildContext, path: &str) -> Result<(), ValidationError> {
        if config.alpha_init > 0.0 && config.alpha_init.is_finite() {
            return Ok(());
        }
        let reason = format!("a slope begins above 0, found {}", config.alpha_init);
        Err(ValidationError::new(format!("{path}.alpha_init"), reason).with_suggestion("alpha_init = 0.5"))
    }

    fn init(config: &DynamicTanhConfig, around: &BuildContext, init: &mut Initializer) -> Self {
        Self {
            alpha: init.constant([1], config.alpha_init as f32),
            weight: init.constant([around.hidden], 1.0),
            bias: init.constant([around.hidden], 0.0),
        }
    }
}

impl Normalization for DynamicTanh {
    fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let bent = (x * self.alpha.val().unsqueeze()).tanh();
        bent * self.weight.val().unsqueeze() + self.bias.val().unsqueeze()
    }
}
