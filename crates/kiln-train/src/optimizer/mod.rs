//! Optimizers: AdamW and Muon.
//!
//! State and options go by parameter name, so that a checkpoint can be read by name. An optimizer written elsewhere
//! implements [`UpdateRule`] and is passed as [`Optimizer::rule`].

mod adamw;
mod muon;

pub use adamw::AdamW;
pub use muon::{Muon, orthogonalize};

use crate::after_step::AdapterStates;
use burn::tensor::{DType, Tensor};
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

/// The parameter that an [`UpdateRule`] updates, and the learning rate.
#[derive(Clone, Debug)]
pub struct ParamUpdate<'a> {
    /// Name of the parameter, such as `blocks.0.attention.q.weight`.
    pub name: &'a str,
    /// Shape of the parameter. Its weight and gradient are passed flat, as `[n]`.
    pub shape: &'a [usize],
    /// Learning rate of this step.
    pub learning_rate: f64,
}

/// Optimizer state of one parameter.
#[derive(Clone, Debug)]
pub struct OptimizerState {
    /// Number of updates, including the current one.
    pub step: u64,
    /// Names of `slots`, as in the checkpoint.
    pub slot_names: &'static [&'static str],
    /// One tensor `[n]` for each name, such as the moments of AdamW. All are 0 before the first update.
    pub slots: Vec<Tensor<1>>,
    /// Master weight of a weight of 16-bit floats, `[n]` in f32; `None` for other weights.
    pub master: Option<Tensor<1>>,
}

/// An update rule: from a weight, its gradient and its state to a new weight.
pub trait UpdateRule: Send + Sync {
    /// Names of the state tensors of a parameter. The same parameter must always get the same names.
    fn slot_names(&self, name: &str, shape: &[usize]) -> &'static [&'static str];

    /// The new weight, `[n]`, of a parameter with `weight` and `gradient`, both `[n]`.
    ///
    /// `state.step` already counts this update: it is 1 at the first. The rule must update `state.slots`.
    fn update(
        &self,
        update: &ParamUpdate,
        weight: Tensor<1>,
        gradient: Tensor<1>,
        state: &mut OptimizerState,
    ) -> Tensor<1>;
}

impl OptimizerConfig {
    /// The update rule with these options.
    pub fn build(&self) -> Box<dyn UpdateRule> {
        match self {
            Self::AdamW(rule) => Box::new(rule.clone()),
            Self::Muon(rule) => Box::new(rule.clone()),
        }
    }

    /// Checks the options; `path` is the key of the optimizer in the recipe.
    ///
    /// # Errors
    /// The first option that is out of range, with its path.
    pub fn check(&self, path: &str) -> Result<(), ValidationError> {
        match self {
            Self::AdamW(rule) => rule.check(&format!("{path}.adamw")),
            Self::Muon(rule) => rule.check(&format!("{path}.muon")),
        }
    }
}

/// An optimizer: an update rule with the state of all parameters.
pub struct Optimizer {
    /// The update rule.
    pub rule: Box<dyn UpdateRule>,
    /// State by parameter name. A parameter without an entry has not been updated yet.
    pub states: BTreeMap<String, OptimizerState>,
    /// State of adapters whose method acts after a step.
    pub adapter_states: AdapterStates,
}

impl Optimizer {
    /// The optimizer before the first step, without state.
    pub fn new(config: &OptimizerConfig) -> Self {
        Self { rule: config.build(), states: BTreeMap::new(), adapter_states: AdapterStates::new() }
    }

    /// Updates the state of one parameter and returns its new weight, `[n]`.
    pub fn update(&mut self, update: &ParamUpdate, weight: Tensor<1>, gradient: Tensor<1>) -> Tensor<1> {
        self.update_with(update, gradient, |_| weight, |weight, _| weight)
    }

    /// [`update`](Self::update) of a weight that is rounded to the 16-bit type `half`: the rule updates a master weight in f32
    /// (1710.03740, section 3.1), and the new weight is its rounding, in the type that `weight` is held in.
    ///
    /// An update is often smaller than half a unit in the last place of the weight; without a master it would be lost. The
    /// first master is the weight itself.
    pub fn update_rounded(
        &mut self,
        update: &ParamUpdate,
        weight: Tensor<1>,
        gradient: Tensor<1>,
        half: DType,
    ) -> Tensor<1> {
        let held = weight.dtype();
        let master = |state: &mut OptimizerState| state.master.take().unwrap_or_else(|| weight.cast(DType::F32));
        self.update_with(update, gradient, master, |master, state| {
            state.master = Some(master.clone());
            master.cast(half).cast(held)
        })
    }

    /// Takes the weight from the state or elsewhere, updates it by the rule, and passes it to `finish`.
    fn update_with(
        &mut self,
        update: &ParamUpdate,
        gradient: Tensor<1>,
        weight: impl FnOnce(&mut OptimizerState) -> Tensor<1>,
        finish: impl FnOnce(Tensor<1>, &mut OptimizerState) -> Tensor<1>,
    ) -> Tensor<1> {
        let mut state = self.states.remove(update.name).unwrap_or_else(|| {
            let slot_names = self.rule.slot_names(update.name, update.shape);
            let slots = slot_names.iter().map(|_| gradient.zeros_like()).collect();
            OptimizerState { step: 0, slot_names, slots, master: None }
        });
        state.step += 1;
        let weight = weight(&mut state);
        let weight = self.rule.update(update, weight, gradient, &mut state);
        let weight = finish(weight, &mut state);
        self.states.insert(update.name.to_string(), state);
        weight
    }
}
