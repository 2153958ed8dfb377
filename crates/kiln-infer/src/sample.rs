//! From logits to a token.
//!
//! The filters act in the order of Hugging Face's: temperature, top-k, top-p, min-p; what is left is drawn from in
//! proportion. V vocabulary.

use crate::error::GenerateError;
use kiln_spec::{Random, ValidationError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How the next token is chosen.
///
/// ```
/// use kiln_infer::Sampling;
/// let logits = [0.0, 2.0, 1.0];
/// assert_eq!(Sampling::greedy().draw(&logits, 0, 0)?, 1);
/// let two = Sampling { top_k: Some(2), ..Sampling::default() };
/// assert_eq!(two.probabilities(&logits).map(|p| p[0]), Some(0.0));
/// # Ok::<(), kiln_infer::GenerateError>(())
/// ```
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct Sampling {
    /// Logits are divided by it; 0: the likeliest token, of equals the first.
    pub temperature: f64,
    /// Only so many of the likeliest tokens, and the last one's equals (1805.04833). Absent: all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_k: Option<usize>,
    /// Only the likeliest tokens that hold this share of the probability (1904.09751). Absent: all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_p: Option<f64>,
    /// Only tokens at least so likely, as a share of the likeliest one's probability (2407.01082). Absent: all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_p: Option<f64>,
    /// Names the random numbers.
    pub seed: u64,
}

impl Default for Sampling {
    fn default() -> Self {
        Self { temperature: 1.0, top_k: None, top_p: None, min_p: None, seed: 0 }
    }
}

impl Sampling {
    /// Always the likeliest token.
    pub fn greedy() -> Self {
        Self { temperature: 0.0, ..Self::default() }
    }

    /// Refuses what can't be, with the key under `path`.
    ///
    /// # Errors
    /// The first value that can't be.
    pub fn check(&self, path: &str) -> Result<(), ValidationError> {
        let refuse = |key, reason| Err(ValidationError::new(key, reason).with_path_prefix(path));
        match *self {
            Self { temperature: t, .. } if !t.is_finite() || t < 0.0 => {
                refuse("temperature", format!("expected 0 (always the likeliest token) or more, found {t}"))
            }
            Self { top_k: Some(0), .. } => refuse("top_k", "expected 1 or more tokens to choose from, found 0".into()),
            Self { top_p: Some(p), .. } if !(p > 0.0 && p <= 1.0) => {
                refuse("top_p", format!("expected a share above 0 and up to 1, found {p}"))
            }
            Self { min_p: Some(p), .. } if !(0.0..=1.0).contains(&p) => {
                refuse("min_p", format!("expected a share from 0 to 1, found {p}"))
            }
            _ => Ok(()),
        }
    }

    /// The token for `logits [V]`: the `step`-th new one of the `row`-th prompt.
    ///
    /// # Errors
    /// If the logits are not finite (−∞, for a token that must not come, is allowed).
    pub fn sample(&self, logits: &[f32], step: u64, row: u64) -> Result<u32, GenerateError> {
        let weights = self.unnormalized_probabilities(logits).ok_or(GenerateError::NotFinite { row, step })?;
        let total: f64 = weights.iter().sum();
        let mut left = Random::new(self.seed, "sample", step, row).uniform() * total;
        let hit = weights.iter().position(|weight| {
            left -= weight;
            left < 0.0
        });
        let last = || weights.iter().rposition(|weight| *weight > 0.0);
        Ok(hit.or_else(last).unwrap_or_default() as u32)
    }

    /// The probability of each token for `logits [V]`, 0 for what a filter takes out. `None` if the logits are not
    /// finite.
    pub fn probabilities(&self, logits: &[f32]) -> Option<Vec<f64>> {
        let mut weights = self.unnormalized_probabilities(logits)?;
        let total: f64 = weights.iter().sum();
        weights.iter_mut().for_each(|weight| *weight /= total);
        Some(weights)
    }

    /// Probabilities up to a factor; the likeliest token has 1.
    fn unnormalized_probabilities(&self, logits: &[f32]) -> Option<Vec<f64>> {
        let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        if !most.is_finite() || logits.iter().any(|x| x.is_nan()) {
            return None;
        }
        if self.temperature == 0.0 {
            let first = logits.iter().position(|x| *x == most);
            return Some((0..logits.len()).map(|i| if Some(i) == first { 1.0 } else { 0.0 }).collect());
        }
        let weight = |x: &f32| (f64::from(*x - most) / self.temperature).exp();
        let mut weights: Vec<f64> = logits.iter().map(weight).collect();
        if let Some(k) = self.top_k {
            keep_top_k(&mut weights, k);
        }
        if let Some(p) = self.top_p.filter(|p| *p < 1.0) {
            keep_top_p(&mut weights, p);
        }
        if let Some(p) = self.min_p {
            weights.iter_mut().filter(|weight| **weight < p).for_each(|weight| *weight = 0.0);
        }
        Some(weights)
    }
}

fn keep_top_k(weights: &mut [f64], k: usize) {
    if k >= weights.len() {
        return;
    }
    let mut sorted = weights.to_vec();
    let (_, least, _) = sorted.select_nth_unstable_by(k.saturating_sub(1), |a, b| b.total_cmp(a));
    weights.iter_mut().filter(|weight| **weight < *least).for_each(|weight| *weight = 0.0);
}

fn keep_top_p(weights: &mut [f64], p: f64) {
    let mut order: Vec<usize> = (0..weights.len()).filter(|i| weights[*i] > 0.0).collect();
    order.sort_by(|a, b| weights[*b].total_cmp(&weights[*a]));
    let enough = p * order.iter().map(|i| weights[*i]).sum::<f64>();
    let mut before = 0.0;
    for i in order {
        let weight = weights[i];
        if before >= enough {
            weights[i] = 0.0;
        }
        before += weight;
    }
}

#[cfg(test)]
#[path = "sample_tests.rs"]
mod tests;
