//! Normalisation of the residual stream, `[B, T, M] → [B, T, M]`.

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

/// What norms do.
pub trait Normalization {
    /// `[B, T, M] → [B, T, M]`.
    fn forward(&self, x: Tensor<3>) -> Tensor<3>;
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

/// ε keeps a norm from dividing by 0.
fn check_eps(eps: f64, path: &str) -> Result<(), ValidationError> {
    if eps > 0.0 && eps.is_finite() {
        return Ok(());
    }
    let reason = format!("ε keeps a norm from dividing by 0: it must be above 0, found {eps}");
    Err(ValidationError::new(format!("{path}.eps"), reason).with_suggestion("eps = 1e-6"))
}

impl Default for NormConfig {
    fn default() -> Self {
        Self::Rms(RmsNormConfig::default())
    }
}
