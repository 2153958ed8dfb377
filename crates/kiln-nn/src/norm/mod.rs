//! Normalisation of the residual stream, `[B, T, M] → [B, T, M]`.

mod dyt;
mod layer;
mod none;
mod rms;

pub use dyt::{DynamicTanh, DynamicTanhConfig};
pub use layer::{LayerNorm, LayerNormConfig};
pub use none::NoNorm;
pub use rms::{RmsNorm, RmsNormConfig};

use burn::tensor::Tensor;
use kiln_spec::Refusal;

/// What norms do.
pub trait Normalize {
    /// `[B, T, M] → [B, T, M]`.
    fn forward(&self, x: Tensor<3>) -> Tensor<3>;
}

crate::variants! {
    /// Normalisation.
    Norm, NormConfig: dyn Normalize {
        /// By the root of the mean square (1910.07467).
        "rms" => Rms(RmsNorm),
        /// To mean 0 and variance 1 (1607.06450).
        "layer" => Layer(LayerNorm),
        /// By a tanh of learned slope, without statistics (2503.10622).
        "dyt" => DynamicTanh(DynamicTanh),
        /// Not at all.
        "none" => None(NoNorm),
    }
}

/// ε keeps a norm from dividing by 0.
fn check_eps(eps: f64, path: &str) -> Result<(), Refusal> {
    if eps > 0.0 && eps.is_finite() {
        return Ok(());
    }
    let reason = format!("ε keeps a norm from dividing by 0: it must be above 0, found {eps}");
    Err(Refusal::new(format!("{path}.eps"), reason).instead("eps = 1e-6"))
}

impl Default for NormConfig {
    fn default() -> Self {
        Self::Rms(RmsNormConfig::default())
    }
}
