//! The gated feed-forward: (f(x W_gate) ⊙ x W_up) W_down (2002.05202, eq. 6).

use super::activation::Activation;
use crate::{
    context::Context,
    init::Initializer,
    linear::Linear,
    part::Layer,
    variant::{BuildContext, Card, Cost, MAX_WIDTH, Variant},
};
use burn::{module::Module, tensor::Tensor};
use kiln_spec::ValidationError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Options of [`Gated`].
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct GatedMlpConfig {
    /// Intermediate size. Absent: 8/3 × hidden, rounded up to a multiple of 16.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub intermediate: Option<usize>,
    /// Activation function of the gate.
    pub activation: Activation,
    /// Use biases.
    pub bias: bool,
}

impl Default for GatedMlpConfig {
    fn default() -> Self {
        Self { intermediate: None, activation: Activation::Silu, bias: false }
    }
}

/// Three matrices, one of them a gate.
#[derive(Module, Debug)]
pub struct GatedMlp {
    gate: Linear,
    up: Linear,
    down: Linear,
    #[module(skip)]
    activation: Activation,
    #[module(skip)]
    dropout: f64,
}

/// The width that is taken if none is given.
pub fn default_intermediate(hidden: usize) -> usize {
    (hidden * 8).div_ceil(3).next_multiple_of(16)
}

pub(super) fn check_intermediate(inner: Option<usize>, path: &str) -> Result<(), ValidationError> {
    match inner {
        Some(0) => Err(ValidationError::new(format!("{path}.intermediate"), "a feed-forward of width 0")),
        Some(inner) if inner > MAX_WIDTH => Err(ValidationError::new(
            format!("{path}.intermediate"),
            format!("at most {MAX_WIDTH} wide, found {inner}"),
        )),
        _ => Ok(()),
    }
}

impl Variant for GatedMlp {
    type Config = GatedMlpConfig;
    const CARD: Card = Card { role: "feed_forward", ..Card::new("gated_mlp", "2002.05202") };

    fn resolve(config: &mut GatedMlpConfig, around: &BuildContext) {
        config.intermediate.get_or_insert(default_intermediate(around.hidden));
    }

    fn check(config: &GatedMlpConfig, _around: &BuildContext, path: &str) -> Result<(), ValidationError> {
        check_intermediate(config.intermediate, path)
    }

    fn init(config: &GatedMlpConfig, around: &BuildContext, init: &mut Initializer) -> Self {
        let (outer, inner) = (around.hidden, config.intermediate.unwrap_or(default_intermediate(around.hidden)));
        Self {
            gate: Linear::new("gate", [outer, inner], config.bias, init),
            up: Linear::new("up", [outer, inner], config.bias, init),
            down: Linear::new_residual("down", [inner, outer], config.bias, init),
            activation: config.activation,
            dropout: around.dropout,
        }
    }
}

impl Layer for GatedMlp {
    fn forward(&self, x: Tensor<3>, cx: &mut Context) -> Tensor<3> {
        let gated = self.activation.apply_gated(self.gate.forward_with(x.clone(), cx), self.up.forward_with(x, cx));
        let out = self.down.forward_with(gated, cx);
        cx.dropout("out", self.dropout, out)
    }

    fn cost(&self, _length: usize) -> Cost {
        Cost { flops: self.gate.flops() + self.up.flops() + self.down.flops(), state_bytes: 0.0 }
    }

    fn describe(&self) -> String {
        format!("{} → {}, {} gate", self.up.size()[0], self.up.size()[1], self.activation.name())
    }
}
