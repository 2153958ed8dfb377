//! Score function: how scores become attention weights. Configuration only; the kernels implement it.
//!
//! With s_j = scale · q · k_j / τ + bias_j, τ the temperature, and s ← c tanh(s / c) with a softcap c:
//!
//! * softmax: p_j = exp(s_j) / Σ exp(s), or exp(s_j) / (exp(a) + Σ exp(s)) with a sink logit a;
//! * sigmoid: p_j = σ(s_j + b), each key on its own.

use kiln_spec::{Card, ValidationError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

kiln_spec::choice! {
    /// Score function: from scores to attention weights.
    pub enum Score {
        /// Softmax (1706.03762).
        "softmax" => Softmax(Softmax) with Card::config_only("1706.03762"),
        /// Sigmoid attention: σ(s + bias) for each key (2409.04431).
        "sigmoid" => Sigmoid(Sigmoid) with Card::config_only("2409.04431"),
    }
}

/// Softmax over the visible keys, with optional softcap, temperature and sink.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct Softmax {
    /// Logit soft-capping: c · tanh(s / c) (Gemma 2, 2408.00118). Absent: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub softcap: Option<f64>,
    /// Softmax temperature: scores are divided by it.
    pub temperature: f64,
    /// Use a trained attention-sink logit per head, added to the softmax denominator (gpt-oss; 2309.17453).
    pub sink: bool,
}

impl Default for Softmax {
    fn default() -> Self {
        Self { softcap: None, temperature: 1.0, sink: false }
    }
}

/// Sigmoid of each score, without normalization over the keys.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Default)]
#[serde(default, deny_unknown_fields)]
pub struct Sigmoid {
    /// Bias added to the scores. Absent: −ln n for a query with n visible keys, so that the weights sum to about 1 at
    /// initialization (2409.04431, section 3.1).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bias: Option<f64>,
}

impl Default for Score {
    fn default() -> Self {
        Self::Softmax(Softmax::default())
    }
}

impl Score {
    /// Returns the softcap c of s → c tanh(s / c), if there is one.
    pub fn softcap(&self) -> Option<f64> {
        match self {
            Self::Softmax(softmax) => softmax.softcap,
            Self::Sigmoid(_) => None,
        }
    }

    /// Returns the temperature that scores are divided by; 1 for sigmoid.
    pub fn temperature(&self) -> f64 {
        match self {
            Self::Softmax(softmax) => softmax.temperature,
            Self::Sigmoid(_) => 1.0,
        }
    }

    /// Whether each head has a trained sink logit in the softmax denominator.
    pub fn has_sink(&self) -> bool {
        matches!(self, Self::Softmax(Softmax { sink: true, .. }))
    }

    /// Whether a query's weights are normalized over its keys. If not, outputs over two sets of keys simply add up.
    pub fn is_normalized(&self) -> bool {
        matches!(self, Self::Softmax(_))
    }

    /// Checks the options. `path` is the path of the score function in the recipe: `….attention.score`.
    ///
    /// # Errors
    /// If the softcap or the temperature isn't a finite number above 0, or the sigmoid's bias isn't finite.
    pub fn validate(&self, path: &str) -> Result<(), ValidationError> {
        let path = |key: &str| format!("{path}.{}.{key}", self.name());
        match self {
            Self::Softmax(Softmax { softcap: Some(cap), .. }) if !(cap.is_finite() && *cap > 0.0) => {
                let reason =
                    format!("the softcap limits scores to ±softcap; it must be a finite number above 0, found {cap}");
                Err(ValidationError::new(path("softcap"), reason).with_suggestion("leave it out"))
            }
            Self::Softmax(Softmax { temperature, .. }) if !(temperature.is_finite() && *temperature > 0.0) => {
                let reason = format!(
                    "scores are divided by the temperature; it must be a finite number above 0, found {temperature}"
                );
                Err(ValidationError::new(path("temperature"), reason).with_suggestion("temperature = 1.0"))
            }
            Self::Sigmoid(Sigmoid { bias: Some(bias) }) if !bias.is_finite() => {
                Err(ValidationError::new(path("bias"), format!("the bias must be a finite number, found {bias}"))
                    .with_suggestion("leave it out"))
            }
            _ => Ok(()),
        }
    }
}
