//! Gated feed-forward network (GLU, SwiGLU): (f(x W_gate) ⊙ x W_up) W_down (2002.05202, eq. 6).
//!
//! Parameters: `gate.weight [M, N]`, `up.weight [M, N]`, `down.weight [N, M]`, N the intermediate size, and with biases
//! `gate.bias [N]`, `up.bias [N]`, `down.bias [M]`. Cost: 6 M N operations per token. The default N = 8/3 M gives as many
//! parameters as an MLP of 4 M.

use super::activation::{Activation, add_bias};
use crate::{
    context::Context,
    init::Initializer,
    linear::Linear,
    part::Layer,
    variant::{BuildContext, Card, Cost, MAX_WIDTH, Variant},
};
use burn::{module::Module, tensor::Tensor};
use kiln_kernels::gated_linear::gated_linear;
use kiln_spec::ValidationError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Options of [`GatedMlp`].
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
        Self { intermediate: None, activation: Activation::SILU, bias: false }
    }
}

/// Gated MLP: gate and up projection, down projection.
#[derive(Module, Debug)]
pub struct GatedMlp {
    /// W_gate, `[M, N]`.
    gate: Linear,
    /// W_up, `[M, N]`.
    up: Linear,
    /// W_down, `[N, M]`.
    down: Linear,
    #[module(skip)]
    activation: Activation,
    #[module(skip)]
    dropout: f64,
}

/// Returns the default intermediate size, 8/3 × hidden rounded up to a multiple of 16.
pub fn default_intermediate(hidden: usize) -> usize {
    (hidden * 8).div_ceil(3).next_multiple_of(16)
}

/// Checks the intermediate size of a feed-forward network at `path`.
pub(super) fn check_intermediate(intermediate: Option<usize>, path: &str) -> Result<(), ValidationError> {
    match intermediate {
        Some(0) => Err(ValidationError::new(format!("{path}.intermediate"), "expected at least 1, found 0")),
        Some(width) if width > MAX_WIDTH => Err(ValidationError::new(
            format!("{path}.intermediate"),
            format!("expected at most {MAX_WIDTH}, found {width}"),
        )),
        _ => Ok(()),
    }
}

impl Variant for GatedMlp {
    type Config = GatedMlpConfig;
    const CARD: Card = Card { role: "feed_forward", ..Card::new("gated_mlp", "2002.05202") };

    fn resolve(config: &mut GatedMlpConfig, build: &BuildContext) {
        config.intermediate.get_or_insert(default_intermediate(build.hidden));
    }

    fn check(config: &GatedMlpConfig, _build: &BuildContext, path: &str) -> Result<(), ValidationError> {
        check_intermediate(config.intermediate, path)?;
        config.activation.check(&format!("{path}.activation"))
    }

    fn init(config: &GatedMlpConfig, build: &BuildContext, init: &mut Initializer) -> Self {
        let hidden = build.hidden;
        let intermediate = config.intermediate.unwrap_or(default_intermediate(hidden));
        Self {
            gate: Linear::new("gate", [hidden, intermediate], config.bias, init),
            up: Linear::new("up", [hidden, intermediate], config.bias, init),
            down: Linear::new_residual("down", [intermediate, hidden], config.bias, init),
            activation: config.activation,
            dropout: build.dropout,
        }
    }
}

impl Layer for GatedMlp {
    fn forward(&self, x: Tensor<3>, cx: &mut Context) -> Tensor<3> {
        let (gate, up) = (self.gate.forward_with(x.clone(), cx), self.up.forward_with(x, cx));
        let is_fused = self.activation == Activation::SILU && !cx.arithmetic.is_exact();
        let out = match self.down.as_floats().filter(|_| is_fused) {
            Some((weight, bias)) => add_bias(gated_linear(gate, up, weight), bias),
            None => self.down.forward_with(self.activation.apply_gated(gate, up), cx),
        };
        cx.dropout("out", self.dropout, out)
    }

    fn cost(&self, _length: usize) -> Cost {
        Cost { flops: self.gate.flops() + self.up.flops() + self.down.flops(), state_bytes: 0.0 }
    }

    fn describe(&self) -> String {
        format!("{} → {}, {} gate", self.up.size()[0], self.up.size()[1], self.activation.name())
    }
}
