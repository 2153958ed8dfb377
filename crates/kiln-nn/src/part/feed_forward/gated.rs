//! The gated feed-forward: (f(x W_gate) ⊙ x W_up) W_down (2002.05202, eq. 6).

use super::activation::Activation;
use crate::{
    cx::Cx,
    init::Init,
    linear::Linear,
    part::Forward,
    variant::{Around, Card, Cost, Variant, WIDEST},
};
use burn::{module::Module, tensor::Tensor};
use kiln_spec::Refusal;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Options of [`Gated`].
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct GatedConfig {
    /// Width inside; absent: 8/3 × hidden, rounded up to a multiple of 16, which costs what a plain one does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inner: Option<usize>,
    /// The function of the gate.
    pub activation: Activation,
    /// Whether there are biases.
    pub bias: bool,
}

impl Default for GatedConfig {
    fn default() -> Self {
        Self { inner: None, activation: Activation::Silu, bias: false }
    }
}

/// Three matrices, one of them a gate.
#[derive(Module, Debug)]
pub struct Gated {
    gate: Linear,
    up: Linear,
    down: Linear,
    #[module(skip)]
    activation: Activation,
    #[module(skip)]
    dropout: f64,
}

/// The width that is taken if none is given.
pub fn inner(hidden: usize) -> usize {
    (hidden * 8).div_ceil(3).next_multiple_of(16)
}

pub(super) fn check_inner(inner: Option<usize>, path: &str) -> Result<(), Refusal> {
    match inner {
        Some(0) => Err(Refusal::new(format!("{path}.inner"), "a feed-forward of width 0")),
        Some(inner) if inner > WIDEST => {
            Err(Refusal::new(format!("{path}.inner"), format!("at most {WIDEST} wide, found {inner}")))
        }
        _ => Ok(()),
    }
}

impl Variant for Gated {
    type Config = GatedConfig;
    const CARD: Card = Card { role: "feed_forward", ..Card::new("gated", "2002.05202") };

    fn resolve(config: &mut GatedConfig, around: &Around) {
        config.inner.get_or_insert(inner(around.hidden));
    }

    fn check(config: &GatedConfig, _around: &Around, path: &str) -> Result<(), Refusal> {
        check_inner(config.inner, path)
    }

    fn init(config: &GatedConfig, around: &Around, init: &mut Init) -> Self {
        let (outer, inner) = (around.hidden, config.inner.unwrap_or(inner(around.hidden)));
        Self {
            gate: Linear::new("gate", [outer, inner], config.bias, init),
            up: Linear::new("up", [outer, inner], config.bias, init),
            down: Linear::residual("down", [inner, outer], config.bias, init),
            activation: config.activation,
            dropout: around.dropout,
        }
    }
}

impl Forward for Gated {
    fn forward(&self, x: Tensor<3>, cx: &mut Cx) -> Tensor<3> {
        let gated = self.activation.gate(self.gate.forward_in(x.clone(), cx), self.up.forward_in(x, cx));
        let out = self.down.forward_in(gated, cx);
        cx.dropout("out", self.dropout, out)
    }

    fn cost(&self, _length: usize) -> Cost {
        Cost { flops: self.gate.flops() + self.up.flops() + self.down.flops(), state_bytes: 0.0 }
    }

    fn describe(&self) -> String {
        format!("{} → {}, {} gate", self.up.size()[0], self.up.size()[1], self.activation.name())
    }
}
