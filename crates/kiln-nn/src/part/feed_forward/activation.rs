//! Activation functions of feed-forward networks, with the names that recipes use.

use burn::tensor::{
    Tensor,
    activation::{gelu, gelu_approximate, relu, silu},
};
use kiln_kernels::silu_gate::silu_gate;
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
        match self {
            Self::Relu => relu(x),
            Self::Gelu => gelu(x),
            Self::GeluTanh => gelu_approximate(x),
            Self::Silu => silu(x),
        }
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
