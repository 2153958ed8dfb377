//! Optimisers whose state and groups go by parameter name.

mod adamw;
mod muon;

pub use adamw::AdamW;
pub use muon::{Muon, orthogonal};

use burn::tensor::Tensor;
use kiln_spec::Refusal;
pub use kiln_spec::wildcard::matches;
use std::collections::BTreeMap;

kiln_spec::choice! {
    /// How gradients move weights.
    pub enum OptimiserConfig {
        /// Adam with decoupled weight decay (1711.05101).
        "adamw" => AdamW(AdamW) with adamw::CARD,
        /// Orthogonal momentum for the blocks' matrices, AdamW for the rest (Jordan 2024; 2502.16982).
        "muon" => Muon(Muon) with muon::CARD,
    }
}

impl Default for OptimiserConfig {
    fn default() -> Self {
        Self::AdamW(AdamW::default())
    }
}

/// What an update may know besides weight and gradient.
#[derive(Clone, Debug)]
pub struct Update<'a> {
    /// The parameter's name.
    pub name: &'a str,
    /// The parameter's shape; weight and gradient come flat.
    pub shape: &'a [usize],
    /// The learning rate.
    pub rate: f64,
}

/// What a rule keeps of a parameter.
#[derive(Clone, Debug)]
pub struct Kept {
    /// Updates so far.
    pub time: u64,
    /// What each of `slots` is called.
    pub names: &'static [&'static str],
    /// As many as there are names, each as long as the parameter.
    pub slots: Vec<Tensor<1>>,
}

/// An update rule.
pub trait Rule: Send + Sync {
    /// Names of what it keeps of a parameter.
    fn slots(&self, name: &str, shape: &[usize]) -> &'static [&'static str];

    /// The new weight, `[n]`; `kept.time` already counts this update, and `kept.slots` are moved on.
    fn update(&self, update: &Update, weight: Tensor<1>, gradient: Tensor<1>, kept: &mut Kept) -> Tensor<1>;
}

impl OptimiserConfig {
    /// The rule.
    pub fn rule(&self) -> Box<dyn Rule> {
        match self {
            Self::AdamW(rule) => Box::new(rule.clone()),
            Self::Muon(rule) => Box::new(rule.clone()),
        }
    }

    /// Refuses what can't be.
    ///
    /// # Errors
    /// The first thing that can't be.
    pub fn check(&self, path: &str) -> Result<(), Refusal> {
        match self {
            Self::AdamW(rule) => rule.check(&format!("{path}.adamw")),
            Self::Muon(rule) => rule.check(&format!("{path}.muon")),
        }
    }
}

/// A rule with its state, by parameter name.
pub struct Optimiser {
    /// The rule.
    pub rule: Box<dyn Rule>,
    /// What it keeps.
    pub kept: BTreeMap<String, Kept>,
}

impl Optimiser {
    /// Before the first step.
    pub fn new(config: &OptimiserConfig) -> Self {
        Self { rule: config.rule(), kept: BTreeMap::new() }
    }

    /// The new weight, `[n]`, of a parameter.
    pub fn update(&mut self, update: &Update, weight: Tensor<1>, gradient: Tensor<1>) -> Tensor<1> {
        let new = || {
            let names = self.rule.slots(update.name, update.shape);
            Kept { time: 0, names, slots: names.iter().map(|_| gradient.zeros_like()).collect() }
        };
        let mut kept = self.kept.remove(update.name).unwrap_or_else(new);
        kept.time += 1;
        let weight = self.rule.update(update, weight, gradient, &mut kept);
        self.kept.insert(update.name.to_string(), kept);
        weight
    }
}
