//! Scaling of rotary frequencies, so that a model reads further than it was trained for.

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
        /// Llama 3.1: as YaRN, with a ramp in wavelength and no rescaling of attention (2407.21783).
        "llama3" => Llama3(Llama3Scaling),
    }
}

/// Position interpolation.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct LinearScaling {
    /// Context extension factor.
    pub factor: f64,
}

/// YaRN.
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
    /// Factor applied to cosines and sines. Absent: 0.1 ln(factor) + 1 (eq. 22).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attention_factor: Option<f64>,
}

/// Llama 3.1's.
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

impl Default for RotaryScaling {
    fn default() -> Self {
        Self::None(kiln_spec::config::NoOptions {})
    }
}

impl RotaryScaling {
    /// Frequencies and what cosines and sines are multiplied by; `theta` is the base, `pairs` their number.
    pub fn scaled_frequencies(&self, theta: f64, pairs: usize) -> (Vec<f32>, f64) {
        let plain = |i: usize| theta.powf(-(i as f64) / pairs as f64);
        let each = |f: &dyn Fn(usize) -> f64| (0..pairs).map(|i| f(i) as f32).collect();
        match self {
            Self::None(_) => (each(&plain), 1.0),
            Self::Linear(linear) => (each(&|i| plain(i) / linear.factor), 1.0),
            Self::Llama3(c) => {
                let turns = |i: usize| c.original_max_position_embeddings as f64 * plain(i) / std::f64::consts::TAU;
                let keeps = |i: usize| {
                    ((turns(i) - c.low_freq_factor) / (c.high_freq_factor - c.low_freq_factor)).clamp(0.0, 1.0)
                };
                (each(&|i| plain(i) * (keeps(i) + (1.0 - keeps(i)) / c.factor)), 1.0)
            }
            Self::Yarn(yarn) => {
                // The pair that turns `turns` times: original · θ^(−i/pairs) = 2π · turns (section 3.2).
                let pair = |turns: f64| {
                    let turned = yarn.original_max_position_embeddings as f64 / (turns * std::f64::consts::TAU);
                    pairs as f64 * turned.ln() / theta.ln()
                };
                let low = pair(yarn.beta_fast).floor().max(0.0);
                let high = pair(yarn.beta_slow).ceil().min((2 * pairs - 1) as f64);
                let ramp = |i: usize| ((i as f64 - low) / (high - low).max(1e-3)).clamp(0.0, 1.0);
                let blend = |i: usize| plain(i) * (1.0 - ramp(i)) + plain(i) / yarn.factor * ramp(i);
                (each(&blend), yarn.attention_factor.unwrap_or(0.1 * yarn.factor.max(1.0).ln() + 1.0))
            }
        }
    }

    /// What is wrong with it: key, reason.
    pub(super) fn invalid_field(&self) -> Option<(&'static str, String)> {
        let factor = |factor: f64| {
            let wrong = !(factor.is_finite() && factor >= 1.0);
            wrong.then(|| ("factor", format!("a context 1 or more times as long, found {factor}")))
        };
        match self {
            Self::None(_) => None,
            Self::Linear(linear) => factor(linear.factor),
            Self::Llama3(c) => factor(c.factor).or_else(|| match c {
                Llama3Scaling { original_max_position_embeddings: 0, .. } => {
                    Some(("original_max_position_embeddings", "a context of no tokens".into()))
                }
                Llama3Scaling { low_freq_factor: low, high_freq_factor: high, .. }
                    if !(*low > 0.0 && high > low && high.is_finite()) =>
                {
                    Some(("high_freq_factor", format!("more turns than low_freq_factor = {low} above 0, found {high}")))
                }
                _ => None,
            }),
            Self::Yarn(yarn) => factor(yarn.factor).or_else(|| match yarn {
                YarnScaling { original_max_position_embeddings: 0, .. } => {
                    Some(("original_max_position_embeddings", "a context of no tokens".into()))
                }
                YarnScaling { beta_fast, beta_slow, .. } if !(*beta_slow > 0.0 && beta_fast > beta_slow) => {
                    Some(("beta_fast", format!("more turns than beta_slow = {beta_slow} above 0, found {beta_fast}")))
                }
                YarnScaling { attention_factor: Some(a), .. } if !(a.is_finite() && *a > 0.0) => {
                    Some(("attention_factor", format!("a number above 0, found {a}")))
                }
                _ => None,
            }),
        }
    }
}
