//! How looks become weights: plain data.

use kiln_spec::{Card, Refusal};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

kiln_spec::choice! {
    /// How looks become weights.
    pub enum Score {
        /// exp(s) / Σ exp(s) (1706.03762).
        "softmax" => Softmax(Softmax) with Card::data("1706.03762"),
        /// σ(s + bias), each key for itself (2409.04431).
        "sigmoid" => Sigmoid(Sigmoid) with Card::data("2409.04431"),
    }
}

/// Softmax of the scaled scores.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct Softmax {
    /// Scores are bent to ±softcap by `softcap · tanh(s / softcap)` (Gemma 2, 2408.00118). Absent: not bent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub softcap: Option<f64>,
    /// Scores are divided by it: above 1 the weights are spread, below 1 sharpened.
    pub temperature: f64,
    /// Whether each head has a trained logit in the denominator that no key stands for, so that the weights may add up
    /// to less than 1 (gpt-oss; 2309.17453).
    pub sink: bool,
}

impl Default for Softmax {
    fn default() -> Self {
        Self { softcap: None, temperature: 1.0, sink: false }
    }
}

/// A sigmoid of the scaled scores.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Default)]
#[serde(default, deny_unknown_fields)]
pub struct Sigmoid {
    /// Added to the scores. Absent: −ln n for a query that sees n keys, so that its weights add up to about 1 at the
    /// start (2409.04431, section 3.1, where n is the length of the sequence).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bias: Option<f64>,
}

impl Default for Score {
    fn default() -> Self {
        Self::Softmax(Softmax::default())
    }
}

impl Score {
    /// The bend of the scores, if any.
    pub fn softcap(&self) -> Option<f64> {
        match self {
            Self::Softmax(softmax) => softmax.softcap,
            Self::Sigmoid(_) => None,
        }
    }

    /// What scores are divided by.
    pub fn temperature(&self) -> f64 {
        match self {
            Self::Softmax(softmax) => softmax.temperature,
            Self::Sigmoid(_) => 1.0,
        }
    }

    /// Whether there is a trained logit in the denominator.
    pub fn sink(&self) -> bool {
        matches!(self, Self::Softmax(Softmax { sink: true, .. }))
    }

    /// Whether a query's weights depend on all of its keys together.
    pub fn normalises(&self) -> bool {
        matches!(self, Self::Softmax(_))
    }

    /// Refuses what can't be.
    ///
    /// # Errors
    /// The first thing that can't be.
    pub fn check(&self, path: &str) -> Result<(), Refusal> {
        let path = |key: &str| format!("{path}.{}.{key}", self.name());
        match self {
            Self::Softmax(Softmax { softcap: Some(cap), .. }) if !(cap.is_finite() && *cap > 0.0) => {
                let reason = format!("a softcap bends scores to ±softcap: it must be above 0, found {cap}");
                Err(Refusal::new(path("softcap"), reason).instead("leave it away"))
            }
            Self::Softmax(Softmax { temperature, .. }) if !(temperature.is_finite() && *temperature > 0.0) => {
                let reason = format!("scores are divided by the temperature: it must be above 0, found {temperature}");
                Err(Refusal::new(path("temperature"), reason).instead("temperature = 1.0"))
            }
            Self::Sigmoid(Sigmoid { bias: Some(bias) }) if !bias.is_finite() => {
                Err(Refusal::new(path("bias"), format!("a number, found {bias}")).instead("leave it away"))
            }
            _ => Ok(()),
        }
    }
}
