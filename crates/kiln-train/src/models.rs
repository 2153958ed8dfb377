//! The models of a stage: the one that is trained, and frozen ones that its objective reads.

use burn::module::Module;
use kiln_models::Model;
use kiln_peft::detach;
use std::collections::BTreeMap;

/// The models that an objective can run.
#[derive(Clone, Debug)]
pub struct Models {
    /// The model that is trained.
    pub policy: Model,
    /// Models that are not trained, by their names: the `reference` of a preference objective, the `teacher` of
    /// distillation.
    pub frozen: BTreeMap<String, Frozen>,
}

/// A model that is not trained: it has no gradients and no optimizer state.
#[derive(Clone, Debug)]
pub enum Frozen {
    /// A model of its own, without autodiff.
    Model(Box<Model>),
    /// The policy without its adapters. It shares the base weights of the policy, which do not train: no second copy.
    PolicyWithoutAdapters,
}

/// A frozen model that an objective needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrozenModelConfig {
    /// Its name in [`Models::frozen`].
    pub name: &'static str,
    /// Where it comes from.
    pub source: FrozenSource,
}

/// Where a frozen model comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FrozenSource {
    /// The policy before the first step of the stage.
    Start,
    /// The policy without its adapters.
    Base,
    /// A run folder, a Hugging Face folder or a GGUF file.
    Path(String),
}

impl Models {
    /// A model to train, without frozen models.
    pub fn new(policy: Model) -> Self {
        Self { policy, frozen: BTreeMap::new() }
    }

    /// The same frozen models, with another model to train.
    pub fn with_policy(self, policy: Model) -> Self {
        Self { policy, ..self }
    }

    /// The frozen model `name`, without autodiff; `None` if there is none. It shares its weights with `self`.
    pub fn frozen(&self, name: &str) -> Option<Model> {
        Some(match self.frozen.get(name)? {
            Frozen::Model(model) => (**model).clone(),
            Frozen::PolicyWithoutAdapters => detach(&self.policy).valid(),
        })
    }
}
