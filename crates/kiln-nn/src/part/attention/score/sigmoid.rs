//! Sigmoid attention: σ(s + b) for each key, without normalization over the keys (2409.04431, eq. 3).

use super::{ScoreFunction, ScoreNeeds};
use crate::{
    init::Initializer,
    variant::{BuildContext, Card, KernelForm, Variant},
};
use burn::module::Module;
use kiln_kernels::attention::{Score, Sigmoid};
use kiln_spec::ValidationError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Sigmoid of each score, without normalization over the keys.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Default)]
#[serde(default, deny_unknown_fields)]
pub struct SigmoidConfig {
    /// Bias added to the scores. Absent: −ln n for a query with n visible keys, so that the weights sum to about 1 at
    /// initialization (2409.04431, section 3.1).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bias: Option<f64>,
}

impl ScoreNeeds for SigmoidConfig {}

/// Sigmoid of each score.
#[derive(Module, Debug)]
pub struct SigmoidScore {
    #[module(skip)]
    bias: Option<f64>,
}

impl Variant for SigmoidScore {
    type Config = SigmoidConfig;
    const CARD: Card = Card { time: "0", kernel: Some(KernelForm::InTile), ..Card::new("sigmoid", "2409.04431") };

    fn check(config: &SigmoidConfig, _build: &BuildContext, path: &str) -> Result<(), ValidationError> {
        match config.bias {
            Some(bias) if !bias.is_finite() => {
                let reason = format!("the bias must be a finite number, found {bias}");
                Err(ValidationError::new(format!("{path}.bias"), reason).with_suggestion("leave it out"))
            }
            _ => Ok(()),
        }
    }

    fn init(config: &SigmoidConfig, _build: &BuildContext, _init: &mut Initializer) -> Self {
        Self { bias: config.bias }
    }
}

impl ScoreFunction for SigmoidScore {
    fn to_kernel(&self) -> Arc<dyn Score> {
        Arc::new(Sigmoid { bias: self.bias })
    }

    fn describe(&self) -> String {
        "sigmoid".into()
    }
}
