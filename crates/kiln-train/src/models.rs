//! The models of a stage: the one that is trained, and frozen ones that its objective reads.

use crate::frozen::{RowFunction, RowValues};
use burn::module::Module;
use kiln_models::Model;
use kiln_peft::detach;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, path::Path, sync::Arc};

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
    /// The values that the loss reads of a model for each row, computed in advance. The model itself is not in memory.
    RowValues(Arc<RowValues>),
}

/// A frozen model that an objective needs.
#[derive(Clone, Debug)]
pub struct FrozenModelConfig {
    /// Its name in [`Models::frozen`].
    pub name: &'static str,
    /// Where it comes from.
    pub source: FrozenSource,
    /// Computes what the loss reads of the model for one row, if that is done once for all rows before the first step of the
    /// stage. The loss then finds [`Frozen::RowValues`]. `None`: the loss runs the model.
    pub precompute: Option<RowFunction>,
}

/// Where a frozen model comes from: in a recipe `start`, `base`, or a path.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
#[serde(from = "String", into = "String")]
#[schemars(with = "String")]
pub enum FrozenSource {
    /// The policy before the first step of the stage.
    Start,
    /// The policy without its adapters.
    Base,
    /// A run folder, a Hugging Face folder or a GGUF file.
    Path(String),
}

impl From<String> for FrozenSource {
    fn from(text: String) -> Self {
        match text.as_str() {
            "start" => Self::Start,
            "base" => Self::Base,
            _ => Self::Path(text),
        }
    }
}

impl From<FrozenSource> for String {
    fn from(source: FrozenSource) -> Self {
        match source {
            FrozenSource::Start => "start".into(),
            FrozenSource::Base => "base".into(),
            FrozenSource::Path(path) => path,
        }
    }
}

impl FrozenSource {
    /// Resolves a relative path against `folder`.
    pub fn resolve_relative_to(&mut self, folder: &Path) {
        let Self::Path(path) = self else { return };
        if let Some(absolute) = folder.join(&*path).to_str() {
            *path = absolute.to_owned();
        }
    }
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

    /// The frozen model `name`, without autodiff; `None` if there is none in memory. It shares its weights with `self`.
    pub fn frozen(&self, name: &str) -> Option<Model> {
        Some(match self.frozen.get(name)? {
            Frozen::Model(model) => (**model).clone(),
            Frozen::PolicyWithoutAdapters => detach(&self.policy).valid(),
            Frozen::RowValues(_) => return None,
        })
    }
}
