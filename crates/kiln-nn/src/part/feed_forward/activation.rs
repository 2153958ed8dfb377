//! Activation functions of feed-forward networks, with the names that recipes use.

use burn::tensor::{
    Tensor,
    activation::{relu, silu},
};
use kiln_kernels::{
    gelu::{GeluForm, gelu},
    silu_gate::silu_gate,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Activation function.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// ReLU: max(0, x).
    Relu,
    /// GELU: x Φ(x) (1606.08415).
    Gelu,
    /// Tanh approximation of GELU (GPT-2).
    GeluTanh,
    /// SiLU (swish): x σ(x).
    Silu,
}

impl Activation {
    /// Applies the function to every element.
    pub fn apply<const D: usize>(self, x: Tensor<D>) -> Tensor<D> {
        self.apply_biased(x, None)
    }

    /// Returns f(x + b), x `[…, N]`, b `[N]`. GELU uses the fused kernel, which adds the bias in the same pass.
    pub fn apply_biased<const D: usize>(self, x: Tensor<D>, bias: Option<Tensor<1>>) -> Tensor<D> {
        let form = match self {
            Self::Gelu => GeluForm::Exact,
            Self::GeluTanh => GeluForm::Tanh,
            Self::Relu => return relu(add_bias(x, bias)),
            Self::Silu => return silu(add_bias(x, bias)),
        };
        gelu(x, bias, form)
    }

    /// Returns f(gate) ⊙ up, `[B, T, N]` (2002.05202, eq. 5). SiLU uses the fused kernel.
    pub fn apply_gated(self, gate: Tensor<3>, up: Tensor<3>) -> Tensor<3> {
        match self {
            Self::Silu => silu_gate(gate, up),
            other => other.apply(gate) * up,
        }
    }

    /// Returns the name in a recipe.
    pub fn name(self) -> &'static str {
        match self {
            Self::Relu => "relu",
            Self::Gelu => "gelu",
            Self::GeluTanh => "gelu_tanh",
            Self::Silu => "silu",
        }
    }
}

/// x + b, x `[…, N]`, b `[N]`.
pub(super) fn add_bias<const D: usize>(x: Tensor<D>, bias: Option<Tensor<1>>) -> Tensor<D> {
    match bias {
        Some(bias) => x + bias.unsqueeze(),
        None => x,
    }
}
