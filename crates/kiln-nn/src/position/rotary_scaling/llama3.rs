//! The scaling of Llama 3.1 (2407.21783): with r_i = L f_i / 2π rotations of pair i over the original context L, f_i for r_i ≥
//! `high_freq_factor`, f_i / s for r_i ≤ `low_freq_factor`, linear in r_i between.

use super::{FrequencyScaling, base_frequencies, invalid_factor, invalid_original};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Options of the scaling of Llama 3.1.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Llama3Scaling {
    /// Context extension factor.
    pub factor: f64,
    /// Context length of the pretrained model.
    pub original_max_position_embeddings: usize,
    /// Pairs with at most this many rotations over the original context are fully interpolated.
    #[serde(default = "default_low_freq_factor")]
    pub low_freq_factor: f64,
    /// Pairs with at least this many rotations over the original context keep their frequency.
    #[serde(default = "default_high_freq_factor")]
    pub high_freq_factor: f64,
}

fn default_low_freq_factor() -> f64 {
    1.0
}

fn default_high_freq_factor() -> f64 {
    4.0
}

impl Llama3Scaling {
    /// Scaled frequency: f / s for r ≤ `low_freq_factor` rotations over the original context, f for r ≥ `high_freq_factor`,
    /// linear in r between them.
    fn scale(&self, frequency: f64) -> f64 {
        let rotations = self.original_max_position_embeddings as f64 * frequency / std::f64::consts::TAU;
        let share = (rotations - self.low_freq_factor) / (self.high_freq_factor - self.low_freq_factor);
        let share = share.clamp(0.0, 1.0);
        frequency * (share + (1.0 - share) / self.factor)
    }
}

impl FrequencyScaling for Llama3Scaling {
    fn frequencies(&self, theta: f64, pairs: usize, _length: usize) -> Vec<f64> {
        base_frequencies(theta, pairs).map(|f| self.scale(f)).collect()
    }

    fn invalid_field(&self) -> Option<(&'static str, String)> {
        let (low, high) = (self.low_freq_factor, self.high_freq_factor);
        let is_ordered = low > 0.0 && high > low && high.is_finite();
        let order = || format!("expected 0 < low_freq_factor < high_freq_factor, found {low} and {high}");
        invalid_factor(self.factor)
            .or_else(|| invalid_original(self.original_max_position_embeddings))
            .or_else(|| (!is_ordered).then(|| ("high_freq_factor", order())))
    }
}
