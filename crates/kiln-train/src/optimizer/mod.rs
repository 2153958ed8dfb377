//! Optimisers whose state and groups go by parameter name.

mod adamw;
mod muon;

pub use adamw::AdamW;
pub use muon::{Muon, orthogonalize};

use burn::tensor::Tensor;
use kiln_spec::ValidationError;
pub use kiln_spec::wildcard::matches;
use std::collections::BTreeMap;

kiln_spec::choice! {
    /// Optimizer.
    pub enum OptimizerConfig {
        /// Adam with decoupled weight decay (1711.05101).
        "adamw" => AdamW(AdamW) with adamw::CARD,
        /// Muon for the weight matrices of the blocks, AdamW for all other parameters (Jordan 2024; 2502.16982).
        "muon" => Muon(Muon) with muon::CARD,
    }
}

impl Default for OptimizerConfig {
    fn default() -> Self {
        Self::AdamW(AdamW::default())
    }
}

/// What an update may know besides weight and gradient.
#[derive(Clone, Debug)]
pub struct ParamUpdate<'a> {
    /// The parameter's name.
    pub name: &'a str,
    /// The parameter's shape; weight and gradient come flat.
    pub shape: &'a [usize],
    /// The learning rate.
    pub learning_rate: f64,
}

/// What a rule keeps of a parameter.
#[derive(Clone, Debug)]
pub struct OptimizerState {
    /// Updates so far.
    pub step: u64,
    /// What each of `slots` is called.
    pub slot_names: &'static [&'static str],
    /// As many as there are names, each as long as the parameter.
    pub slots: Vec<Tensor<1>>,
}

/// An update rule.
pub trait UpdateRule: Send + Sync {
    /// Names of what it keeps of a parameter.
    fn slot_names(&self, name: &str, shape: &[usize]) -> &'static [&'static str];

    /// The new weight, `[n]`; `kept.time` already counts this update, and `kept.slots` are moved on.
    fn update(
        &self,
        update: &ParamUpdate,
        weight: Tensor<1>,
        gradient: Tensor<1>,
        kept: &mut OptimizerState,
    ) -> Tensor<1>;
}

impl OptimizerConfig {
    /// The rule.
    pub fn build(&self) -> Box<dyn UpdateRule> {
        match self {
            Self::AdamW(rule) => Box::new(rule.clone()),
            Self::Muon(rule) => Box::new(rule.clone()),
        }
    }

    /// Refuses what can't be.
    ///
    /// # Errors
    /// The first thing that can't be.
    pub fn check(&self, path: &str) -> Result<(), ValidationError> {
        match self {
            Self::AdamW(rule) => rule.check(&format!("{path}.adamw")),
            Self::Muon(rule) => rule.check(&format!("{path}.muon")),
        }
    }
}

/// A rule with its state, by parameter name.
pub struct Optimizer {
    /// The rule.
    pub rule: Box<dyn UpdateRule>,
    /// What it keeps.
    pub states: BTreeMap<String, OptimizerState>,
}

impl Optimizer {
    /// Before the first step.
    pub fn new(config: &OptimizerConfig) -> Self {
        Self { rule: config.build(), states: BTreeMap::new() }
    }

    /// The new weight, `[n]`, of a parameter.
    pub fn update(&mut self, update: &ParamUpdate, weight: Tensor<1>, gradient: Tensor<1>) -> Tensor<1> {
        let new = || {
            let names = self.rule.slot_names(update.name, update.shape);
            OptimizerState { step: 0, slot_names: names, slots: names.iter().map(|_| gradient.zeros_like()).collect() }
        };
        let mut kept = self.states.remove(update.name).unwrap_or_else(new);
        kept.step += 1;
        let weight = self.rule.update(update, weight, gradient, &mut kept);
        self.states.insert(update.name.to_string(), kept);
        weight
    }
}
