//! LongRoPE (2402.13753): f_i / λ_i, with one list of factors λ for contexts within the original one and another beyond; cos
//! and sin times √(1 + ln s / ln L) for the factor s and the original context L.

use super::{FrequencyScaling, base_frequencies, invalid_attention_factor, invalid_original};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Options of LongRoPE.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct LongRopeScaling {
    /// Context extension factor s: the longer context divided by the original one. Cosines and sines are scaled if it is
    /// above 1.
    pub factor: f64,
    /// Context length L of the pretrained model. Longer rows use `long_factor`.
    pub original_max_position_embeddings: usize,
    /// Divisors of the frequencies within the original context, one for each rotated pair.
    pub short_factor: Vec<f64>,
    /// Divisors of the frequencies beyond the original context, one for each rotated pair.
    pub long_factor: Vec<f64>,
    /// Factor applied to cosines and sines. Absent: √(1 + ln(factor) / ln(original context)).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attention_factor: Option<f64>,
}

impl FrequencyScaling for LongRopeScaling {
    fn frequencies(&self, theta: f64, pairs: usize, length: usize) -> Vec<f64> {
        let is_long = length > self.original_max_position_embeddings;
        let divisors = if is_long { &self.long_factor } else { &self.short_factor };
        base_frequencies(theta, pairs).zip(divisors).map(|(f, divisor)| f / divisor).collect()
    }

    fn attention_factor(&self) -> f64 {
        let by_length = || {
            let original = self.original_max_position_embeddings as f64;
            if self.factor > 1.0 { (1.0 + self.factor.ln() / original.ln()).sqrt() } else { 1.0 }
        };
        self.attention_factor.unwrap_or_else(by_length)
    }

    fn differs_between(&self, length: usize, other: usize) -> bool {
        let original = self.original_max_position_embeddings;
        (length > original) != (other > original)
    }

    fn check_pairs(&self, pairs: usize) -> Result<(), String> {
        for (key, list) in [("short_factor", &self.short_factor), ("long_factor", &self.long_factor)] {
            if list.len() != pairs {
                return Err(format!(
                    "expected a number in scaling.longrope.{key} for each of the {pairs} rotated pairs of a head, found {}",
                    list.len()
                ));
            }
        }
        Ok(())
    }

    fn invalid_field(&self) -> Option<(&'static str, String)> {
        let is_too_short = self.original_max_position_embeddings < 2;
        let too_short = || format!("expected at least 2 tokens, found {}", self.original_max_position_embeddings);
        let invalid = |list: &[f64]| list.iter().copied().find(|factor| !(factor.is_finite() && *factor > 0.0));
        let not_positive = |factor: f64| format!("expected finite numbers above 0, found {factor}");
        let is_factor = self.factor.is_finite() && self.factor > 0.0;
        (!is_factor)
            .then(|| ("factor", format!("expected a finite number above 0, found {}", self.factor)))
            .or_else(|| invalid_original(self.original_max_position_embeddings))
            .or_else(|| is_too_short.then(|| ("original_max_position_embeddings", too_short())))
            .or_else(|| invalid(&self.short_factor).map(|factor| ("short_factor", not_positive(factor))))
            .or_else(|| invalid(&self.long_factor).map(|factor| ("long_factor", not_positive(factor))))
            .or_else(|| invalid_attention_factor(self.attention_factor))
    }
}
