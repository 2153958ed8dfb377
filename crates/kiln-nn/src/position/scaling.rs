//! Scaling of rotary frequencies, so that a model reads further than it was trained for.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

kiln_spec::choice! {
    /// How rotary frequencies are changed for longer contexts.
    pub enum Scaling {
        /// Not at all.
        "none" => None(kiln_spec::config::Nothing),
        /// All positions are squeezed: frequencies divided by the factor (position interpolation, 2306.15595).
        "linear" => Linear(Linear),
        /// High frequencies stay, low ones are squeezed, between them a ramp; scores sharpened (2309.00071).
        "yarn" => Yarn(Yarn),
        /// The same ramp by turns instead of pairs, and scores as they were (Llama 3.1, 2407.21783).
        "llama3" => Llama3(Llama3),
    }
}

/// Position interpolation.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Linear {
    /// How many times longer the context gets.
    pub factor: f64,
}

/// YaRN.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Yarn {
    /// How many times longer the context gets.
    pub factor: f64,
    /// The context that the model was trained for.
    pub original: usize,
    /// A pair that turns at least this often within that context keeps its frequency.
    #[serde(default = "fast")]
    pub beta_fast: f64,
    /// A pair that turns at most this often is squeezed whole.
    #[serde(default = "slow")]
    pub beta_slow: f64,
    /// What cosines and sines are multiplied by; absent: 0.1 ln factor + 1 (eq. 22).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attention: Option<f64>,
}

/// Llama 3.1's.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Llama3 {
    /// How many times longer the context gets.
    pub factor: f64,
    /// The context that the model was trained for.
    pub original: usize,
    /// A pair that turns at most this often within that context is squeezed whole.
    #[serde(default = "slow")]
    pub low: f64,
    /// A pair that turns at least this often keeps its frequency.
    #[serde(default = "four")]
    pub high: f64,
}

fn four() -> f64 {
    4.0
}

fn fast() -> f64 {
    32.0
}

fn slow() -> f64 {
    1.0
}

impl Default for Scaling {
    fn default() -> Self {
        Self::None(kiln_spec::config::Nothing {})
    }
}

impl Scaling {
    /// Frequencies and what cosines and sines are multiplied by; `theta` is the base, `pairs` their number.
    pub fn apply(&self, theta: f64, pairs: usize) -> (Vec<f32>, f64) {
        let plain = |i: usize| theta.powf(-(i as f64) / pairs as f64);
        let each = |f: &dyn Fn(usize) -> f64| (0..pairs).map(|i| f(i) as f32).collect();
        match self {
            Self::None(_) => (each(&plain), 1.0),
            Self::Linear(linear) => (each(&|i| plain(i) / linear.factor), 1.0),
            Self::Llama3(c) => {
                let turns = |i: usize| c.original as f64 * plain(i) / std::f64::consts::TAU;
                let keeps = |i: usize| ((turns(i) - c.low) / (c.high - c.low)).clamp(0.0, 1.0);
                (each(&|i| plain(i) * (keeps(i) + (1.0 - keeps(i)) / c.factor)), 1.0)
            }
            Self::Yarn(yarn) => {
                // The pair that turns `turns` times: original · θ^(−i/pairs) = 2π · turns (section 3.2).
                let pair = |turns: f64| {
                    let turned = yarn.original as f64 / (turns * std::f64::consts::TAU);
                    pairs as f64 * turned.ln() / theta.ln()
                };
                let low = pair(yarn.beta_fast).floor().max(0.0);
                let high = pair(yarn.beta_slow).ceil().min((2 * pairs - 1) as f64);
                let ramp = |i: usize| ((i as f64 - low) / (high - low).max(1e-3)).clamp(0.0, 1.0);
                let blend = |i: usize| plain(i) * (1.0 - ramp(i)) + plain(i) / yarn.factor * ramp(i);
                (each(&blend), yarn.attention.unwrap_or(0.1 * yarn.factor.max(1.0).ln() + 1.0))
            }
        }
    }

    /// What is wrong with it: key, reason.
    pub(super) fn wrong(&self) -> Option<(&'static str, String)> {
        let factor = |factor: f64| {
            let wrong = !(factor.is_finite() && factor >= 1.0);
            wrong.then(|| ("factor", format!("a context 1 or more times as long, found {factor}")))
        };
        match self {
            Self::None(_) => None,
            Self::Linear(linear) => factor(linear.factor),
            Self::Llama3(c) => factor(c.factor).or_else(|| match c {
                Llama3 { original: 0, .. } => Some(("original", "a context of no tokens".into())),
                Llama3 { low, high, .. } if !(*low > 0.0 && high > low && high.is_finite()) => {
                    Some(("high", format!("more turns than low = {low} above 0, found {high}")))
                }
                _ => None,
            }),
            Self::Yarn(yarn) => factor(yarn.factor).or_else(|| match yarn {
                Yarn { original: 0, .. } => Some(("original", "a context of no tokens".into())),
                Yarn { beta_fast, beta_slow, .. } if !(*beta_slow > 0.0 && beta_fast > beta_slow) => {
                    Some(("beta_fast", format!("more turns than beta_slow = {beta_slow} above 0, found {beta_fast}")))
                }
                Yarn { attention: Some(a), .. } if !(a.is_finite() && *a > 0.0) => {
                    Some(("attention", format!("a number above 0, found {a}")))
                }
                _ => None,
            }),
        }
    }
}
