//! Scaling of rotary frequencies for contexts longer than the pretraining context.
//!
//! With f_i = θ^(−i/P) the frequency of pair i, s the factor and L the original context, r_i = L f_i / 2π is the number of
//! rotations of the pair over the original context:
//!
//! * linear: f_i / s (2306.15595);
//! * YaRN: f_i for r_i ≥ `beta_fast`, f_i / s for r_i ≤ `beta_slow`, a linear ramp in the pair's index between
//!   (2309.00071, section 3.2), and cos and sin times 0.1 ln s + 1 (eq. 22);
//! * Llama 3.1: as YaRN with `high_freq_factor` for `beta_fast` and `low_freq_factor` for `beta_slow`, but linear in r_i instead
//!   of in the pair's index, and without the factor of cos and sin.
//!
//! Frequencies are computed in f64 and rounded to f32.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

kiln_spec::choice! {
    /// RoPE frequency scaling for longer contexts.
    pub enum RotaryScaling {
        /// No scaling.
        "none" => None(kiln_spec::config::NoOptions),
        /// Linear position interpolation: frequencies are divided by `factor` (2306.15595).
        "linear" => Linear(LinearScaling),
        /// YaRN: low frequencies are divided by `factor`, high ones kept, with a ramp between; attention is rescaled
        /// (2309.00071).
        "yarn" => Yarn(YarnScaling),
        /// Llama 3.1: like YaRN, but interpolated linearly in the number of rotations (context / wavelength), and without
        /// rescaling attention (2407.21783).
        "llama3" => Llama3(Llama3Scaling),
    }
}

/// Options of linear position interpolation.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct LinearScaling {
    /// Context extension factor.
    pub factor: f64,
}

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

/// Options of the scaling of Llama 3.1.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Llama3Scaling {
    /// Context extension factor.
    pub factor: f64,
    /// Context length of the pretrained model.
    pub original_max_position_embeddings: usize,
    /// Pairs with at most this many rotations over the original context are fully interpolated.
    #[serde(default = "default_beta_slow")]
    pub low_freq_factor: f64,
    /// Pairs with at least this many rotations over the original context keep their frequency.
    #[serde(default = "default_high_freq_factor")]
    pub high_freq_factor: f64,
}

fn default_high_freq_factor() -> f64 {
    4.0
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

impl Default for RotaryScaling {
    fn default() -> Self {
        Self::None(kiln_spec::config::NoOptions {})
    }
}

impl RotaryScaling {
    /// Returns the frequencies of `pairs` pairs for the base `theta`, in radians per token, and the factor of cos and sin.
    pub fn scaled_frequencies(&self, theta: f64, pairs: usize) -> (Vec<f32>, f64) {
        let unscaled = (0..pairs).map(|i| theta.powf(-(i as f64) / pairs as f64));
        match self {
            Self::None(_) => (unscaled.map(|f| f as f32).collect(), 1.0),
            Self::Linear(linear) => (unscaled.map(|f| (f / linear.factor) as f32).collect(), 1.0),
            Self::Llama3(llama3) => (unscaled.map(|f| llama3.scale(f) as f32).collect(), 1.0),
            Self::Yarn(yarn) => {
                let [low, high] = yarn.ramp_ends(theta, pairs);
                let scaled = unscaled.enumerate().map(|(i, f)| {
                    let ramp = ((i as f64 - low) / (high - low)).clamp(0.0, 1.0);
                    (f * (1.0 - ramp) + f / yarn.factor * ramp) as f32
                });
                (scaled.collect(), yarn.attention_factor.unwrap_or(0.1 * yarn.factor.max(1.0).ln() + 1.0))
            }
        }
    }

    /// Returns the first invalid key and the reason, or `None`.
    pub(super) fn invalid_field(&self) -> Option<(&'static str, String)> {
        match self {
            Self::None(_) => None,
            Self::Linear(linear) => invalid_factor(linear.factor),
            Self::Llama3(llama3) => invalid_factor(llama3.factor).or_else(|| match llama3 {
                Llama3Scaling { original_max_position_embeddings: 0, .. } => {
                    Some(("original_max_position_embeddings", "expected at least 1 token, found 0".into()))
                }
                Llama3Scaling { low_freq_factor: low, high_freq_factor: high, .. }
                    if !(*low > 0.0 && high > low && high.is_finite()) =>
                {
                    Some((
                        "high_freq_factor",
                        format!("expected 0 < low_freq_factor < high_freq_factor, found {low} and {high}"),
                    ))
                }
                _ => None,
            }),
            Self::Yarn(yarn) => invalid_factor(yarn.factor).or_else(|| match yarn {
                YarnScaling { original_max_position_embeddings: 0, .. } => {
                    Some(("original_max_position_embeddings", "expected at least 1 token, found 0".into()))
                }
                YarnScaling { beta_fast, beta_slow, .. } if !(*beta_slow > 0.0 && beta_fast > beta_slow) => Some((
                    "beta_fast",
                    format!("expected 0 < beta_slow < beta_fast, found {beta_slow} and {beta_fast}"),
                )),
                YarnScaling { attention_factor: Some(a), .. } if !(a.is_finite() && *a > 0.0) => {
                    Some(("attention_factor", format!("expected a finite number above 0, found {a}")))
                }
                _ => None,
            }),
        }
    }
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

/// The key and reason of an invalid context factor.
fn invalid_factor(factor: f64) -> Option<(&'static str, String)> {
    let is_valid = factor.is_finite() && factor >= 1.0;
    (!is_valid).then(|| ("factor", format!("expected a finite number of at least 1, found {factor}")))
}
