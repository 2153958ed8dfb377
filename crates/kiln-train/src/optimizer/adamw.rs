//! AdamW: Adam with decoupled weight decay (1711.05101, algorithm 2); the update itself is a kernel.

use super::{OptimizerState, ParamUpdate, UpdateRule, matches};
use burn::tensor::Tensor;
use kiln_kernels::adamw::adamw;
use kiln_spec::{Card, ValidationError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub(super) const CARD: Card = Card { state: "2 numbers a parameter", ..Card::config_only("1711.05101") };

/// Options of AdamW.
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
        let no_decay = ["*norm*", "*.bias", "embedding*", "position*"];
        Self {
            beta1: 0.9,
            beta2: 0.95,
            eps: 1e-8,
            weight_decay: 0.1,
            no_weight_decay: no_decay.map(String::from).to_vec(),
        }
    }
}

impl AdamW {
    /// Refuses what can't be.
    ///
    /// # Errors
    /// The first thing that can't be.
    pub fn check(&self, path: &str) -> Result<(), ValidationError> {
        let refuse = |key: &str, reason: String| Err(ValidationError::new(format!("{path}.{key}"), reason));
        for (key, beta) in [("beta1", self.beta1), ("beta2", self.beta2)] {
            if !(0.0..1.0).contains(&beta) {
                return refuse(key, format!("a decay from 0 up to but without 1, found {beta}"));
            }
        }
        match self {
            _ if !(self.eps > 0.0 && self.eps.is_finite()) => refuse("eps", format!("above 0, found {}", self.eps)),
            _ if !(self.weight_decay >= 0.0 && self.weight_decay.is_finite()) => {
                refuse("weight_decay", format!("0 or more, found {}", self.weight_decay))
            }
            _ => Ok(()),
        }
    }
}

impl UpdateRule for AdamW {
    fn slot_names(&self, _name: &str, _shape: &[usize]) -> &'static [&'static str] {
        &["mean", "square"]
    }

    fn update(
        &self,
        update: &ParamUpdate,
        weight: Tensor<1>,
        gradient: Tensor<1>,
        kept: &mut OptimizerState,
    ) -> Tensor<1> {
        let square = kept.slots.pop().unwrap_or_else(|| gradient.zeros_like());
        let mean = kept.slots.pop().unwrap_or_else(|| gradient.zeros_like());
        let decays = !self.no_weight_decay.iter().any(|pattern| matches(pattern, update.name));
        let by = kiln_kernels::adamw::AdamWParams {
            learning_rate: update.learning_rate,
            beta1: self.beta1,
            beta2: self.beta2,
            eps: self.eps,
            weight_decay: if decays { self.weight_decay } else { 0.0 },
            step: kept.step,
        };
        let (weight, mean, square) = adamw(&by, weight, gradient, mean, square);
        kept.slots = vec![mean, square];
        weight
    }
}
