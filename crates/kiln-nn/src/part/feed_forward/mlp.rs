//! The feed-forward of the first transformer: f(x W₁ + b₁) W₂ + b₂ (1706.03762, eq. 2).

use super::activation::Activation;
use crate::{
    context::Context,
    init::Initializer,
    linear::Linear,
    part::Layer,
    variant::{BuildContext, Card, Cost, Variant},
};
use burn::{module::Module, tensor::Tensor};
use kiln_spec::ValidationError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Options of [`Plain`].
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct MlpConfig {
    /// Intermediate size. Absent: 4 × hidden.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub intermediate: Option<usize>,
    /// Activation function.
    pub activation: Activation,
    /// Use biases.
    pub bias: bool,
}

impl Default for MlpConfig {
    fn default() -> Self {
        Self { intermediate: None, activation: Activation::Gelu, bias: true }
    }
}

/// Two matrices and a function between them.
#[derive(Module, Debug)]
pub struct Mlp {
    up: Linear,
    down: Linear,
    #[module(skip)]
    activation: Activation,
    #[module(skip)]
    dropout: f64,
}

/// The width that is taken if none is given.
pub fn default_intermediate(hidden: usize) -> usize {
    4 * hidden
}

impl Variant for Mlp {
    type Config = MlpConfig;
    const CARD: Card = Card { role: "feed_forward", ..Card::new("mlp", "1706.03762") };

    fn resolve(config: &mut MlpConfig, around: &BuildContext) {
        config.intermediate.get_or_insert(default_intermediate(around.hidden));
    }

    fn check(config: &MlpConfig, _around: &BuildContext, path: &str) -> Result<(), ValidationError> {
        super::gated_mlp::check_intermediate(config.intermediate, path)
    }

    fn init(config: &MlpConfig, around: &BuildContext, init: &mut Initializer) -> Self {
        let (outer, inner) = (around.hidden, config.intermediate.unwrap_or(default_intermediate(around.hidden)));
        Self {
            up: Linear::new("up", [outer, inner], config.bias, init),
            down: Linear::new_residual("down", [inner, outer], config.bias, init),
            activation: config.activation,
            dropout: around.dropout,
        }
    }
}

impl Layer for Mlp {
    fn forward(&self, x: Tensor<3>, cx: &mut Context) -> Tensor<3> {
        let out = self.down.forward_with(self.activation.apply(self.up.forward_with(x, cx)), cx);
        cx.dropout("out", self.dropout, out)
    }

    fn cost(&self, _length: usize) -> Cost {
        Cost { flops: self.up.flops() + self.down.flops(), state_bytes: 0.0 }
    }

    fn describe(&self) -> String {
        format!("{} → {}, {}", self.up.size()[0], self.up.size()[1], self.activation.name())
    }
}
