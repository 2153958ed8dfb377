//! Linear position interpolation: f_i / s (2306.15595, eq. 4).

use super::{FrequencyScaling, base_frequencies, invalid_factor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Options of linear position interpolation.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct LinearScaling {
    /// Context extension factor.
    pub factor: f64,
}

impl FrequencyScaling for LinearScaling {
    fn frequencies(&self, theta: f64, pairs: usize, _length: usize) -> Vec<f64> {
        base_frequencies(theta, pairs).map(|f| f / self.factor).collect()
    }

    fn invalid_field(&self) -> Option<(&'static str, String)> {
        invalid_factor(self.factor)
    }
}
