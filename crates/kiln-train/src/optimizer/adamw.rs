//! AdamW: Adam with decoupled weight decay (1711.05101, algorithm 2). The arithmetic of the update is in
//! [`kiln_kernels::adamw`].

use super::{OptimizerState, ParamUpdate, UpdateRule, matches};
use crate::recipe::invalid;
use burn::tensor::Tensor;
use kiln_kernels::adamw::adamw;
use kiln_spec::{Card, ValidationError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub(super) const CARD: Card = Card { state: "2 numbers per parameter", ..Card::config_only("1711.05101") };

/// AdamW options. The state of a parameter is its first and second moment.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct AdamW {
    /// Decay rate β₁ of the first moment.
    pub beta1: f64,
    /// Decay rate β₂ of the second moment.
    pub beta2: f64,
    /// ε, added to the denominator.
    pub eps: f64,
    /// Decoupled weight decay λ, multiplied by the learning rate.
    pub weight_decay: f64,
    /// Patterns of parameter names without weight decay; `*` matches any characters.
    pub no_weight_decay: Vec<String>,
}

impl Default for AdamW {
    fn default() -> Self {
        // Weight decay applies to matrices that multiply hidden states, not to gains, biases and tables.
        let no_weight_decay =
            ["*norm*", "*.bias", "embedding*", "position*", "*_streams.static_*", "*.value_residual.*"];
        Self {
            beta1: 0.9,
            beta2: 0.95,
            eps: 1e-8,
            weight_decay: 0.1,
            no_weight_decay: no_weight_decay.map(String::from).to_vec(),
        }
    }
}

impl AdamW {
    /// Checks the options; `path` is their key in the recipe.
    ///
    /// # Errors
    /// The first option that is out of range, with its path.
    pub fn check(&self, path: &str) -> Result<(), ValidationError> {
        for (key, beta) in [("beta1", self.beta1), ("beta2", self.beta2)] {
            if !(0.0..1.0).contains(&beta) {
                return invalid(path, key, format!("must be at least 0 and below 1, found {beta}"));
            }
        }
        match self {
            _ if !(self.eps > 0.0 && self.eps.is_finite()) => {
                invalid(path, "eps", format!("must be a finite number above 0, found {}", self.eps))
            }
            _ if !(self.weight_decay >= 0.0 && self.weight_decay.is_finite()) => invalid(
                path,
                "weight_decay",
                format!("must be a finite number of at least 0, found {}", self.weight_decay),
            ),
            _ => Ok(()),
        }
    }
}

impl UpdateRule for AdamW {
    fn slot_names(&self, _name: &str, _shape: &[usize]) -> &'static [&'static str] {
        &["mean", "square"]
    }

    /// m ← β₁ m + (1 − β₁) g;  v ← β₂ v + (1 − β₂) g²;  w ← w (1 − ηλ) − η m̂ / (√v̂ + ε), with the bias-corrected moments
    /// m̂ = m / (1 − β₁ᵗ) and v̂ = v / (1 − β₂ᵗ).
    fn update(
        &self,
        update: &ParamUpdate,
        weight: Tensor<1>,
        gradient: Tensor<1>,
        state: &mut OptimizerState,
    ) -> Tensor<1> {
        let square = state.slots.pop().unwrap_or_else(|| gradient.zeros_like());
        let mean = state.slots.pop().unwrap_or_else(|| gradient.zeros_like());
        let is_decayed = !self.no_weight_decay.iter().any(|pattern| matches(pattern, update.name));
        let params = kiln_kernels::adamw::AdamWParams {
            learning_rate: update.learning_rate,
            beta1: self.beta1,
            beta2: self.beta2,
            eps: self.eps,
            weight_decay: if is_decayed { self.weight_decay } else { 0.0 },
            step: state.step,
        };
        let (weight, mean, square) = adamw(&params, weight, gradient, mean, square);
        state.slots = vec![mean, square];
        weight
    }
}
