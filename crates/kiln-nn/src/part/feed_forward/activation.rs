//! Activations of feed-forwards.

use burn::tensor::{
    Tensor,
    activation::{gelu, gelu_approximate, relu, silu},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A function of each number.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// max(0, x).
    Relu,
    /// x Φ(x) (1606.08415).
    Gelu,
    /// GELU by tanh (GPT-2).
    GeluTanh,
    /// x σ(x), also called swish.
    Silu,
}

impl Activation {
    /// Of every number.
    pub fn of<const D: usize>(self, x: Tensor<D>) -> Tensor<D> {
        match self {
            Self::Relu => relu(x),
            Self::Gelu => gelu(x),
            Self::GeluTanh => gelu_approximate(x),
            Self::Silu => silu(x),
        }
    }

    /// Its name in a configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Relu => "relu",
            Self::Gelu => "gelu",
            Self::GeluTanh => "gelu_tanh",
            Self::Silu => "silu",
        }
    }
}
