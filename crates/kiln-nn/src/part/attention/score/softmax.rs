//! Softmax over the visible keys, with optional softcap, temperature and sink (1706.03762, eq. 1).
//!
//! With a sink logit a of the head: p_j = exp(s_j) / (exp(a) + Σ exp(s)). The layer owns the sink, as parameter `sink [H]`, and
//! applies it to the output by the log-sum-exp.

use super::{ScoreFunction, ScoreNeeds};
use crate::{
    init::Initializer,
    variant::{BuildContext, Card, KernelForm, Variant},
};
use burn::module::Module;
use kiln_kernels::attention::{Score, Softmax};
use kiln_spec::ValidationError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Softmax over the visible keys, with optional softcap, temperature and sink.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct SoftmaxConfig {
    /// Logit soft-capping: c · tanh(s / c) (Gemma 2, 2408.00118). Absent: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub softcap: Option<f64>,
    /// Softmax temperature: scores are divided by it.
    pub temperature: f64,
    /// Use a trained attention-sink logit per head, added to the softmax denominator (gpt-oss; 2309.17453).
    pub sink: bool,
}

impl Default for SoftmaxConfig {
    fn default() -> Self {
        Self { softcap: None, temperature: 1.0, sink: false }
    }
}

impl ScoreNeeds for SoftmaxConfig {
    fn has_sink(&self) -> bool {
        self.sink
    }
}

/// Softmax.
#[derive(Module, Debug)]
pub struct SoftmaxScore {
    #[module(skip)]
    config: SoftmaxConfig,
}

impl Variant for SoftmaxScore {
    type Config = SoftmaxConfig;
    const CARD: Card = Card { time: "0", kernel: Some(KernelForm::InTile), ..Card::new("softmax", "1706.03762") };

    fn check(config: &SoftmaxConfig, _build: &BuildContext, path: &str) -> Result<(), ValidationError> {
        let is_invalid = |number: &f64| !(number.is_finite() && *number > 0.0);
        if let Some(cap) = config.softcap.filter(is_invalid) {
            let reason =
                format!("the softcap limits scores to ±softcap; it must be a finite number above 0, found {cap}");
            return Err(ValidationError::new(format!("{path}.softcap"), reason).with_suggestion("leave it out"));
        }
        if is_invalid(&config.temperature) {
            let reason = format!(
                "scores are divided by the temperature; it must be a finite number above 0, found {}",
                config.temperature
            );
            return Err(
                ValidationError::new(format!("{path}.temperature"), reason).with_suggestion("temperature = 1.0")
            );
        }
        Ok(())
    }

    fn init(config: &SoftmaxConfig, _build: &BuildContext, _init: &mut Initializer) -> Self {
        Self { config: config.clone() }
    }
}

impl ScoreFunction for SoftmaxScore {
    fn to_kernel(&self) -> Arc<dyn Score> {
        Arc::new(Softmax { softcap: self.config.softcap, temperature: self.config.temperature })
    }

    fn describe(&self) -> String {
        let softcap = self.config.softcap.map(|cap| format!("softcap {cap}"));
        softcap.into_iter().chain(self.config.sink.then(|| "sink".into())).collect::<Vec<_>>().join(", ")
    }
}
