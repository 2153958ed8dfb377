//! The feed-forward of the first transformer: f(x W₁ + b₁) W₂ + b₂ (1706.03762, eq. 2).

use super::activation::Activation;
use crate::{
    cx::Cx,
    init::Init,
    linear::Linear,
    part::Forward,
    variant::{Around, Card, Cost, Variant},
};
use burn::{module::Module, tensor::Tensor};
use kiln_spec::Refusal;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Options of [`Plain`].
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct PlainConfig {
    /// Width inside; absent: 4 × hidden.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inner: Option<usize>,
    /// The function between the matrices.
    pub activation: Activation,
    /// Whether there are biases.
    pub bias: bool,
}

impl Default for PlainConfig {
    fn default() -> Self {
        Self { inner: None, activation: Activation::Gelu, bias: true }
    }
}

/// Two matrices and a function between them.
#[derive(Module, Debug)]
pub struct Plain {
    up: Linear,
    down: Linear,
    #[module(skip)]
    activation: Activation,
    #[module(skip)]
    dropout: f64,
}

/// The width that is taken if none is given.
pub fn inner(hidden: usize) -> usize {
    4 * hidden
}

impl Variant for Plain {
    type Config = PlainConfig;
    const CARD: Card = Card { role: "feed_forward", ..Card::new("plain", "1706.03762") };

    fn resolve(config: &mut PlainConfig, around: &Around) {
        config.inner.get_or_insert(inner(around.hidden));
    }

    fn check(config: &PlainConfig, _around: &Around, path: &str) -> Result<(), Refusal> {
        super::gated::check_inner(config.inner, path)
    }

    fn init(config: &PlainConfig, around: &Around, init: &mut Init) -> Self {
        let (outer, inner) = (around.hidden, config.inner.unwrap_or(inner(around.hidden)));
        Self {
            up: Linear::new("up", [outer, inner], config.bias, init),
            down: Linear::residual("down", [inner, outer], config.bias, init),
            activation: config.activation,
            dropout: around.dropout,
        }
    }
}

impl Forward for Plain {
    fn forward(&self, x: Tensor<3>, cx: &mut Cx) -> Tensor<3> {
        let out = self.down.forward_in(self.activation.of(self.up.forward_in(x, cx)), cx);
        cx.dropout("out", self.dropout, out)
    }

    fn cost(&self, _length: usize) -> Cost {
        Cost { flops: self.up.flops() + self.down.flops(), state_bytes: 0.0 }
    }

    fn describe(&self) -> String {
        format!("{} → {}, {}", self.up.size()[0], self.up.size()[1], self.activation.name())
    }
}
