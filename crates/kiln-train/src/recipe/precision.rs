//! `[precision]`: the number types of a run.

use super::Recipe;
use kiln_models::WeightPrecision;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Number types of a run. Activations, gradients and optimizer state are f32 in every case.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(default, deny_unknown_fields)]
pub struct PrecisionConfig {
    /// Type in which the model's weights are held and saved: `f32`, `bf16`, `f16`, or `keep`, the types of the file of
    /// `from`. Adapters are always f32. `f16` and quantized weights are trained by adapters only. Absent: `keep` if the run
    /// has `from` and each stage has an adapter, on the CPU; otherwise `f32`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weights: Option<WeightPrecision>,
}

impl PrecisionConfig {
    /// Whether no type is chosen.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl Recipe {
    /// The type of the weights in a run with this recipe: `precision.weights`, or f32. A run writes down what was absent.
    pub fn weight_precision(&self) -> WeightPrecision {
        self.precision.weights.unwrap_or(WeightPrecision::F32)
    }
}
