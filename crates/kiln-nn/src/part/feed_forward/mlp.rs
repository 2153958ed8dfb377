//! Feed-forward network (MLP) of two matrices: f(x W₁ + b₁) W₂ + b₂ (1706.03762, eq. 2).
//!
//! Parameters: `up.weight [M, N]`, `down.weight [N, M]`, N the intermediate size, and with biases `up.bias [N]`,
//! `down.bias [M]`. Cost: 4 M N operations per token.

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

/// Options of [`Mlp`].
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
        Self { intermediate: None, activation: Activation::GELU, bias: true }
    }
}

/// MLP: up projection, activation, down projection.
#[derive(Module, Debug)]
pub struct Mlp {
    /// W₁ and b₁, `[M, N]`.
    up: Linear,
    /// W₂ and b₂, `[N, M]`.
    down: Linear,
    #[module(skip)]
    activation: Activation,
    #[module(skip)]
    dropout: f64,
}

/// Returns the default intermediate size, 4 × hidden.
pub fn default_intermediate(hidden: usize) -> usize {
    4 * hidden
}

impl Variant for Mlp {
    type Config = MlpConfig;
    const CARD: Card = Card { role: "feed_forward", ..Card::new("mlp", "1706.03762") };

    fn resolve(config: &mut MlpConfig, build: &BuildContext) {
        config.intermediate.get_or_insert(default_intermediate(build.hidden));
    }

    fn check(config: &MlpConfig, _build: &BuildContext, path: &str) -> Result<(), ValidationError> {
        super::gated_mlp::check_intermediate(config.intermediate, path)?;
        config.activation.check_ungated(&format!("{path}.activation"))
    }

    fn init(config: &MlpConfig, build: &BuildContext, init: &mut Initializer) -> Self {
        let hidden = build.hidden;
        let intermediate = config.intermediate.unwrap_or(default_intermediate(hidden));
        Self {
            up: Linear::new("up", [hidden, intermediate], config.bias, init),
            down: Linear::new_residual("down", [intermediate, hidden], config.bias, init),
            activation: config.activation,
            dropout: build.dropout,
        }
    }
}

impl Layer for Mlp {
    fn forward(&self, x: Tensor<3>, cx: &mut Context) -> Tensor<3> {
        let (up, bias) = self.up.forward_without_bias(x, cx);
        let out = self.down.forward_with(self.activation.apply_biased(up, bias), cx);
        cx.dropout("out", self.dropout, out)
    }

    fn cost(&self, _length: usize) -> Cost {
        Cost { flops: self.up.flops() + self.down.flops(), state_bytes: 0.0 }
    }

    fn describe(&self) -> String {
        format!("{} → {}, {}", self.up.size()[0], self.up.size()[1], self.activation.name())
    }
}
