//! YaRN (2309.00071, section 3.2): with r_i = L f_i / 2π rotations of pair i over the original context L, f_i for r_i ≥
//! `beta_fast`, f_i / s for r_i ≤ `beta_slow`, a linear ramp in the pair's index between; cos and sin times 0.1 ln s + 1 (eq.
//! 22).

use super::{FrequencyScaling, base_frequencies, invalid_attention_factor, invalid_factor, invalid_original};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Options of YaRN.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct YarnScaling {
    /// Context extension factor.
    pub factor: f64,
    /// Context length of the pretrained model.
    pub original_max_position_embeddings: usize,
    /// Pairs with at least this many rotations over the original context keep their frequency.
    #[serde(default = "default_beta_fast")]
    pub beta_fast: f64,
    /// Pairs with at most this many rotations over the original context are fully interpolated.
    #[serde(default = "default_beta_slow")]
    pub beta_slow: f64,
    /// Round the ends of the ramp outward to whole pairs, as in the paper's implementation.
    #[serde(default = "default_truncate", skip_serializing_if = "is_true")]
    pub truncate: bool,
    /// Factor applied to cosines and sines. Absent: 0.1 ln(factor) + 1 (eq. 22).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attention_factor: Option<f64>,
}

fn default_beta_fast() -> f64 {
    32.0
}

fn default_beta_slow() -> f64 {
    1.0
}

fn default_truncate() -> bool {
    true
}

fn is_true(value: &bool) -> bool {
    *value
}

impl YarnScaling {
    /// Pair indices at which the ramp begins and ends: those with `beta_fast` and `beta_slow` rotations over the original
    /// context, with `truncate` rounded outward. They differ, as in the reference implementation: the end may even be
    /// before the beginning, for a context so short that every pair keeps its frequency.
    fn ramp_ends(&self, theta: f64, pairs: usize) -> [f64; 2] {
        let [low, high] = [self.beta_fast, self.beta_slow].map(|beta| self.pair_with_rotations(beta, theta, pairs));
        let [low, high] = if self.truncate { [low.floor(), high.ceil()] } else { [low, high] };
        let [low, high] = [low.max(0.0), high.min((2 * pairs - 1) as f64)];
        [low, if low == high { high + 1e-3 } else { high }]
    }

    /// Index i of the pair with a number of rotations: L θ^(−i/P) = 2π · rotations (section 3.2).
    fn pair_with_rotations(&self, rotations: f64, theta: f64, pairs: usize) -> f64 {
        let ratio = self.original_max_position_embeddings as f64 / (rotations * std::f64::consts::TAU);
        pairs as f64 * ratio.ln() / theta.ln()
    }
}

impl FrequencyScaling for YarnScaling {
    fn frequencies(&self, theta: f64, pairs: usize, _length: usize) -> Vec<f64> {
        let [low, high] = self.ramp_ends(theta, pairs);
        let scaled = base_frequencies(theta, pairs).enumerate().map(|(i, f)| {
            let ramp = ((i as f64 - low) / (high - low)).clamp(0.0, 1.0);
            f * (1.0 - ramp) + f / self.factor * ramp
        });
        scaled.collect()
    }

    fn attention_factor(&self) -> f64 {
        self.attention_factor.unwrap_or(0.1 * self.factor.max(1.0).ln() + 1.0)
    }

    fn invalid_field(&self) -> Option<(&'static str, String)> {
        let (fast, slow) = (self.beta_fast, self.beta_slow);
        let is_ordered = slow > 0.0 && fast > slow;
        let order = || format!("expected 0 < beta_slow < beta_fast, found {slow} and {fast}");
        invalid_factor(self.factor)
            .or_else(|| invalid_original(self.original_max_position_embeddings))
            .or_else(|| (!is_ordered).then(|| ("beta_fast", order())))
            .or_else(|| invalid_attention_factor(self.attention_factor))
    }
}
