//! AdamW: Adam with decoupled weight decay (1711.05101, algorithm 2); the update itself is a kernel.

use super::{Kept, Rule, Update, matches};
use burn::tensor::Tensor;
use kiln_kernels::adamw::adamw;
use kiln_spec::{Card, Refusal};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub(super) const CARD: Card = Card { state: "2 numbers a parameter", ..Card::data("1711.05101") };

/// Options of AdamW.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct AdamW {
    /// Decay β₁ of the mean of gradients.
    pub beta1: f64,
    /// Decay β₂ of the mean of squared gradients.
    pub beta2: f64,
    /// ε, added to the root.
    pub eps: f64,
    /// Weight decay λ, times the learning rate.
    pub decay: f64,
    /// Names of parameters that do not decay; `*` stands for anything.
    pub no_decay: Vec<String>,
}

impl Default for AdamW {
    fn default() -> Self {
        let no_decay = ["*norm*", "*.bias", "embedding*", "position*"];
        Self { beta1: 0.9, beta2: 0.95, eps: 1e-8, decay: 0.1, no_decay: no_decay.map(String::from).to_vec() }
    }
}

impl AdamW {
    /// Refuses what can't be.
    ///
    /// # Errors
    /// The first thing that can't be.
    pub fn check(&self, path: &str) -> Result<(), Refusal> {
        let refuse = |key: &str, reason: String| Err(Refusal::new(format!("{path}.{key}"), reason));
        for (key, beta) in [("beta1", self.beta1), ("beta2", self.beta2)] {
            if !(0.0..1.0).contains(&beta) {
                return refuse(key, format!("a decay from 0 up to but without 1, found {beta}"));
            }
        }
        match self {
            _ if !(self.eps > 0.0 && self.eps.is_finite()) => refuse("eps", format!("above 0, found {}", self.eps)),
            _ if !(self.decay >= 0.0 && self.decay.is_finite()) => {
                refuse("decay", format!("0 or more, found {}", self.decay))
            }
            _ => Ok(()),
        }
    }
}

impl Rule for AdamW {
    fn slots(&self, _name: &str, _shape: &[usize]) -> &'static [&'static str] {
        &["mean", "square"]
    }

    fn update(&self, update: &Update, weight: Tensor<1>, gradient: Tensor<1>, kept: &mut Kept) -> Tensor<1> {
        let square = kept.slots.pop().unwrap_or_else(|| gradient.zeros_like());
        let mean = kept.slots.pop().unwrap_or_else(|| gradient.zeros_like());
        let decays = !self.no_decay.iter().any(|pattern| matches(pattern, update.name));
        let by = kiln_kernels::adamw::AdamW {
            rate: update.rate,
            beta1: self.beta1,
            beta2: self.beta2,
            eps: self.eps,
            decay: if decays { self.decay } else { 0.0 },
            time: kept.time,
        };
        let (weight, mean, square) = adamw(&by, weight, gradient, mean, square);
        kept.slots = vec![mean, square];
        weight
    }
}
