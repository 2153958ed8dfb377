//! Dynamic NTK (2309.00071, appendix B.1): in a context of l > L tokens, the frequencies of the base
//! θ' = θ · (s l / L − (s − 1))^(D / (D − 2)), with D = 2 P rotated dimensions; those of θ within the original context L.

use super::{FrequencyScaling, base_frequencies, invalid_factor, invalid_original};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Options of dynamic NTK scaling.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct DynamicScaling {
    /// Context extension factor s.
    pub factor: f64,
    /// Context length L of the pretrained model.
    pub original_max_position_embeddings: usize,
}

impl FrequencyScaling for DynamicScaling {
    fn frequencies(&self, theta: f64, pairs: usize, length: usize) -> Vec<f64> {
        let original = self.original_max_position_embeddings as f64;
        let ratio = self.factor * (length as f64).max(original) / original - (self.factor - 1.0);
        // A single pair has the frequency 1 for every base.
        let base = if pairs > 1 { theta * ratio.powf(pairs as f64 / (pairs as f64 - 1.0)) } else { theta };
        base_frequencies(base, pairs).collect()
    }

    fn differs_between(&self, length: usize, other: usize) -> bool {
        let [length, other] = [length, other].map(|length| length.max(self.original_max_position_embeddings));
        length != other
    }

    fn invalid_field(&self) -> Option<(&'static str, String)> {
        invalid_factor(self.factor).or_else(|| invalid_original(self.original_max_position_embeddings))
    }
}
