//! Activation functions of feed-forward networks, with the names that recipes use.

use super::clamped_swiglu::{self, ClampedSwigluConfig};
use burn::tensor::{
    Tensor,
    activation::{relu, silu},
};
use kiln_kernels::{
    gelu::{GeluForm, gelu},
    silu_gate::silu_gate,
};
use kiln_spec::{Card, ValidationError, config::NoOptions};

kiln_spec::choice! {
    /// Activation function.
    #[derive(Copy)]
    pub enum Activation {
        /// ReLU: max(0, x).
        "relu" => Relu(NoOptions) with Card::config_only("Nair and Hinton, 2010"),
        /// GELU: x Φ(x) (1606.08415).
        "gelu" => Gelu(NoOptions) with Card::config_only("1606.08415"),
        /// Tanh approximation of GELU (GPT-2).
        "gelu_tanh" => GeluTanh(NoOptions) with Card::config_only("1606.08415"),
        /// SiLU (swish): x σ(x).
        "silu" => Silu(NoOptions) with Card::config_only("1702.03118, 1710.05941"),
        /// Gate and up projection within limits, (up + 1) ⊙ gate σ(α gate), for gated networks (gpt-oss).
        "clamped_swiglu" => ClampedSwiglu(ClampedSwigluConfig) with clamped_swiglu::CARD,
    }
}

impl Activation {
    /// ReLU.
    pub const RELU: Self = Self::Relu(NoOptions {});
    /// GELU.
    pub const GELU: Self = Self::Gelu(NoOptions {});
    /// Tanh approximation of GELU.
    pub const GELU_TANH: Self = Self::GeluTanh(NoOptions {});
    /// SiLU.
    pub const SILU: Self = Self::Silu(NoOptions {});

    /// Applies the function to every element. Of a function of gate and up projection, that of the gate.
    pub fn apply<const D: usize>(self, x: Tensor<D>) -> Tensor<D> {
        self.apply_biased(x, None)
    }

    /// Returns f(x + b), x `[…, N]`, b `[N]`. GELU uses the fused kernel, which adds the bias in the same pass.
    pub fn apply_biased<const D: usize>(self, x: Tensor<D>, bias: Option<Tensor<1>>) -> Tensor<D> {
        let form = match self {
            Self::Gelu(_) => GeluForm::Exact,
            Self::GeluTanh(_) => GeluForm::Tanh,
            Self::Relu(_) => return relu(add_bias(x, bias)),
            Self::Silu(_) => return silu(add_bias(x, bias)),
            Self::ClampedSwiglu(config) => return config.apply_to_gate(add_bias(x, bias)),
        };
        gelu(x, bias, form)
    }

    /// Returns f(gate) ⊙ up, `[B, T, N]` (2002.05202, eq. 5), or another function of both. SiLU uses the fused kernel.
    pub fn apply_gated(self, gate: Tensor<3>, up: Tensor<3>) -> Tensor<3> {
        match self {
            Self::Silu(_) => silu_gate(gate, up),
            Self::ClampedSwiglu(config) => config.apply(gate, up),
            other => other.apply(gate) * up,
        }
    }

    /// Whether the function has a derivative everywhere.
    pub fn is_smooth(self) -> bool {
        !matches!(self, Self::Relu(_) | Self::ClampedSwiglu(_))
    }

    /// Checks the options at `path`, in a network with a gate.
    pub(crate) fn check(&self, path: &str) -> Result<(), ValidationError> {
        match self {
            Self::ClampedSwiglu(config) => config.check(&format!("{path}.{}", self.name())),
            _ => Ok(()),
        }
    }

    /// Checks the options at `path`, in a network without a gate.
    pub(crate) fn check_ungated(&self, path: &str) -> Result<(), ValidationError> {
        match self {
            Self::ClampedSwiglu(_) => {
                let reason = format!("`{}` is a function of a gate and an up projection", self.name());
                Err(ValidationError::new(path, reason).with_suggestion("use `gated_mlp`, or another activation"))
            }
            _ => self.check(path),
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
