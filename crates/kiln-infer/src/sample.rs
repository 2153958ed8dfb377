//! Sampling of the next token from logits, on the host.
//!
//! The filters are applied in the order of Hugging Face's logits processors, and give the same probabilities:
//!
//! 1. temperature τ: p ∝ exp(logit / τ); τ = 0 chooses the most probable token;
//! 2. top-H: the most probable tokens that hold a fraction of the entropy;
//! 3. top-k: the k most probable tokens;
//! 4. top-p (nucleus): the smallest set of most probable tokens whose probability is at least p;
//! 5. min-p: tokens with at least p times the probability of the most probable one;
//! 6. typical-p: the tokens whose information is closest to the entropy;
//! 7. ε and η cutoff: tokens with at least a certain probability.
//!
//! The token is drawn from the remaining ones in proportion to their probabilities, computed in `f64`. V vocabulary.

mod filters;

use crate::error::GenerateError;
use kiln_spec::{Random, ValidationError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Sampling options: how the next token is chosen.
///
/// ```
/// use kiln_infer::Sampling;
/// let logits = [0.0, 2.0, 1.0];
/// assert_eq!(Sampling::greedy().sample(&logits, 0, 0)?, 1);
/// let top_two = Sampling { top_k: Some(2), ..Sampling::default() };
/// assert_eq!(top_two.probabilities(&logits).map(|p| p[0]), Some(0.0));
/// # Ok::<(), kiln_infer::GenerateError>(())
/// ```
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct Sampling {
    /// Temperature: logits are divided by it. 0: always the most probable token, the first one of equal tokens.
    pub temperature: f64,
    /// Entropy of the most probable tokens to sample from, as a fraction of that of the 100 most probable ones (2509.02510).
    /// Absent: all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_h: Option<f64>,
    /// Number of most probable tokens to sample from; tokens equal to the last one are included (1805.04833). Absent: all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_k: Option<usize>,
    /// Total probability of the most probable tokens to sample from (nucleus sampling, 1904.09751). Absent: all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_p: Option<f64>,
    /// Minimum probability of a token as a fraction of the highest one (2407.01082). Absent: all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_p: Option<f64>,
    /// Total probability of the tokens to sample from whose information is closest to the entropy (2202.00666). Absent: all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub typical_p: Option<f64>,
    /// Minimum probability of a token, except for the most probable one (2210.15191). Absent: all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epsilon_cutoff: Option<f64>,
    /// ε of η-sampling: minimum probability of a token, which is lower at high entropy (2210.15191). Absent: all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eta_cutoff: Option<f64>,
    /// Random seed.
    pub seed: u64,
}

impl Default for Sampling {
    fn default() -> Self {
        Self {
            temperature: 1.0,
            top_h: None,
            top_k: None,
            top_p: None,
            min_p: None,
            typical_p: None,
            epsilon_cutoff: None,
            eta_cutoff: None,
            seed: 0,
        }
    }
}

impl Sampling {
    /// Returns greedy sampling: always the most probable token.
    pub fn greedy() -> Self {
        Self { temperature: 0.0, ..Self::default() }
    }

    /// Checks the ranges: temperature ≥ 0 and finite, top-k ≥ 1, 0 < top-p ≤ 1, 0 < top-H ≤ 1, 0 ≤ min-p ≤ 1,
    /// 0 < typical-p ≤ 1, 0 ≤ cutoffs < 1.
    ///
    /// # Errors
    /// The first value out of range, with its key below `path`.
    pub fn check(&self, path: &str) -> Result<(), ValidationError> {
        let (key, reason) = match *self {
            Self { temperature, .. } if !temperature.is_finite() || temperature < 0.0 => {
                ("temperature", format!("expected a number of at least 0 (0: greedy), found {temperature}"))
            }
            Self { top_k: Some(0), .. } => ("top_k", "expected at least 1 token, found 0".into()),
            _ => match self.probability_out_of_range() {
                Some(error) => error,
                None => return Ok(()),
            },
        };
        Err(ValidationError::new(key, reason).with_path_prefix(path))
    }

    /// The first probability or fraction that is out of range: its key and the reason.
    fn probability_out_of_range(&self) -> Option<(&'static str, String)> {
        for (key, value) in [("top_p", self.top_p), ("top_h", self.top_h), ("typical_p", self.typical_p)] {
            if let Some(p) = value.filter(|p| !(*p > 0.0 && *p <= 1.0)) {
                return Some((key, format!("expected a probability above 0 and at most 1, found {p}")));
            }
        }
        if let Some(p) = self.min_p.filter(|p| !(0.0..=1.0).contains(p)) {
            return Some(("min_p", format!("expected a fraction from 0 to 1, found {p}")));
        }
        for (key, value) in [("epsilon_cutoff", self.epsilon_cutoff), ("eta_cutoff", self.eta_cutoff)] {
            if let Some(p) = value.filter(|p| !(0.0..1.0).contains(p)) {
                return Some((key, format!("expected a probability from 0 to below 1, found {p}")));
            }
        }
        None
    }

    /// Samples a token id from logits `[V]`.
    ///
    /// The random number is a function of the seed, the index `step` of the new token and the index `row` of the prompt:
    /// results do not depend on the batch or on cached state.
    ///
    /// # Errors
    /// [`GenerateError::NotFinite`] if a logit is NaN or +∞, or all are −∞. Single logits of −∞ exclude their tokens.
    pub fn sample(&self, logits: &[f32], step: u64, row: u64) -> Result<u32, GenerateError> {
        let weights = self.unnormalized_probabilities(logits).ok_or(GenerateError::NotFinite { row, step })?;
        let total: f64 = weights.iter().sum();
        let mut remaining = Random::new(self.seed, "sample", step, row).uniform() * total;
        let sampled = weights.iter().position(|weight| {
            remaining -= weight;
            remaining < 0.0
        });
        // Rounding may leave a remainder after the last weight.
        let sampled = sampled.or_else(|| weights.iter().rposition(|weight| *weight > 0.0));
        Ok(sampled.unwrap_or_default() as u32)
    }

    /// Returns the probability of each token for logits `[V]`; 0 for tokens that a filter removes. `None` if the logits are
    /// not finite.
    pub fn probabilities(&self, logits: &[f32]) -> Option<Vec<f64>> {
        let mut weights = self.unnormalized_probabilities(logits)?;
        let total: f64 = weights.iter().sum();
        weights.iter_mut().for_each(|weight| *weight /= total);
        Some(weights)
    }

    /// Probabilities relative to that of the most probable token, which has 1. Min-p is therefore a plain threshold.
    fn unnormalized_probabilities(&self, logits: &[f32]) -> Option<Vec<f64>> {
        let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        if !max.is_finite() || logits.iter().any(|logit| logit.is_nan()) {
            return None;
        }
        if self.temperature == 0.0 {
            let first_max = logits.iter().position(|logit| *logit == max);
            return Some((0..logits.len()).map(|i| if Some(i) == first_max { 1.0 } else { 0.0 }).collect());
        }
        let mut weights: Vec<f64> =
            logits.iter().map(|logit| (f64::from(*logit - max) / self.temperature).exp()).collect();
        self.filter(&mut weights);
        Some(weights)
    }

    /// Applies the filters in the order of Hugging Face's logits processors.
    fn filter(&self, weights: &mut [f64]) {
        if let Some(fraction) = self.top_h {
            filters::keep_top_h(weights, fraction);
        }
        if let Some(k) = self.top_k {
            filters::keep_top_k(weights, k);
        }
        if let Some(p) = self.top_p.filter(|p| *p < 1.0) {
            filters::keep_top_p(weights, p);
        }
        if let Some(p) = self.min_p {
            filters::keep_min_p(weights, p);
        }
        if let Some(mass) = self.typical_p.filter(|mass| *mass < 1.0) {
            filters::keep_typical(weights, mass);
        }
        if let Some(epsilon) = self.epsilon_cutoff {
            filters::keep_above_epsilon(weights, epsilon);
        }
        if let Some(epsilon) = self.eta_cutoff.filter(|epsilon| *epsilon > 0.0) {
            filters::keep_above_eta(weights, epsilon);
        }
    }
}

#[cfg(test)]
mod tests;
