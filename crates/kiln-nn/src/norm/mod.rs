//! Normalization of hidden states over the last dimension, `[B, T, M] → [B, T, M]`.
//!
//! | norm | formula | parameters | paper |
//! |---|---|---|---|
//! | RMSNorm | x / √(mean(x²) + ε) ⊙ w | `weight [M]` | 1910.07467 |
//! | RMSNorm with `unit_offset` | x / √(mean(x²) + ε) ⊙ (1 + w) | `weight [M]`, starting at 0 | 2403.08295 |
//! | LayerNorm | (x − mean(x)) / √(var(x) + ε) ⊙ w + b | `weight [M]`, `bias [M]` | 1607.06450 |
//! | dynamic tanh | w ⊙ tanh(α x) + b | `alpha [1]`, `weight [M]`, `bias [M]` | 2503.10622 |
//! | none | x | | |
//!
//! Weights start at 1 unless stated otherwise, biases at 0. Cost: a few operations per element, no state.

mod dynamic_tanh;
mod layer_norm;
mod no_norm;
mod rms_norm;

pub use dynamic_tanh::{DynamicTanh, DynamicTanhConfig};
pub use layer_norm::{LayerNorm, LayerNormConfig};
pub use no_norm::NoNorm;
pub use rms_norm::{RmsNorm, RmsNormConfig};

use burn::tensor::Tensor;
use kiln_spec::ValidationError;

/// Normalization layer.
pub trait Normalization {
    /// Normalizes the last dimension: `[B, T, M] → [B, T, M]`.
    fn forward(&self, x: Tensor<3>) -> Tensor<3>;

    /// Normalizes each of `groups` equal parts of the last dimension by itself: `[B, T, M] → [B, T, M]`. `groups` divides M;
    /// the parameters have the width M, so each group has its own.
    fn forward_groups(&self, x: Tensor<3>, groups: usize) -> Tensor<3>;
}

/// Applies `norm`, a function of the last dimension, to each of `groups` equal parts of the last dimension:
/// `[B, T, M] → [B, T, M]`. `norm` sees `[B, T · groups, M / groups]`.
pub(crate) fn by_group(x: Tensor<3>, groups: usize, norm: impl FnOnce(Tensor<3>) -> Tensor<3>) -> Tensor<3> {
    let [b, t, m] = x.dims();
    norm(x.reshape([b, t * groups, m / groups])).reshape([b, t, m])
}

crate::variants! {
    /// Normalization layer.
    Norm, NormConfig: dyn Normalization {
        /// RMSNorm (1910.07467).
        "rms" => Rms(RmsNorm),
        /// LayerNorm (1607.06450).
        "layer" => Layer(LayerNorm),
        /// Dynamic tanh (DyT, 2503.10622).
        "dynamic_tanh" => DynamicTanh(DynamicTanh),
        /// No normalization.
        "none" => None(NoNorm),
    }
}

/// Checks the ε of a norm, which keeps it from dividing by 0.
fn check_eps(eps: f64, path: &str) -> Result<(), ValidationError> {
    if eps > 0.0 && eps.is_finite() {
        return Ok(());
    }
    let reason = format!("ε must be a finite number above 0, found {eps}");
    Err(ValidationError::new(format!("{path}.eps"), reason).with_suggestion("eps = 1e-6"))
}

impl Default for NormConfig {
    fn default() -> Self {
        Self::Rms(RmsNormConfig::default())
    }
}
