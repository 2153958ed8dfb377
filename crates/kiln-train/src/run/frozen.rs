//! The frozen models of a stage: what the objective reads beside the model that is trained.

use super::{
    load::load_weights,
    model_config,
    setup::{init_models, set_stage_adapter},
};
use crate::{
    Models, Objective, Recipe, TrainError,
    checkpoint::MODEL_FILE,
    models::{Frozen, FrozenModelConfig, FrozenSource},
    pretrained::ModelSource,
    run_folder::RunFolder,
};
use burn::{module::Module, tensor::Device};
use kiln_data::Tokenizer;
use kiln_models::Model;
use kiln_peft::merge;
use kiln_spec::{ValidationError, config::ConfigError};
use std::{collections::BTreeMap, path::Path};

/// A stage whose frozen models are built.
pub(super) struct FrozenStage<'a> {
    pub recipe: &'a Recipe,
    pub folder: &'a RunFolder,
    pub tokenizer: &'a Tokenizer,
    /// Device of the computation, without autodiff.
    pub device: &'a Device,
    /// Index of the stage in the recipe.
    pub index: usize,
    /// Whether the stage is resumed from a checkpoint of its own: the policy is not yet that of the checkpoint, and may not
    /// have the weights that the stage began with.
    pub is_resumed: bool,
}

impl FrozenStage<'_> {
    /// The frozen models of `objective` by name. `models` has the policy with the adapters of the stage.
    ///
    /// # Errors
    /// If a model cannot be loaded, or its vocabulary is not that of the policy.
    pub fn build(&self, objective: &dyn Objective, models: &Models) -> Result<BTreeMap<String, Frozen>, TrainError> {
        let mut frozen = BTreeMap::new();
        for FrozenModelConfig { name, source } in objective.frozen_models() {
            let model = match source {
                FrozenSource::Start => self.start(models)?,
                FrozenSource::Base if models.policy.adapters().is_empty() => return Err(self.no_adapters(name).into()),
                FrozenSource::Base => Frozen::PolicyWithoutAdapters,
                FrozenSource::Path(path) => Frozen::Model(Box::new(self.load(name, &path, &models.policy)?)),
            };
            frozen.insert(name.to_owned(), model);
        }
        Ok(frozen)
    }

    /// The policy before the first step of the stage. New adapters compute nothing at first, so that a stage that attaches
    /// adapters began as its base.
    fn start(&self, models: &Models) -> Result<Frozen, TrainError> {
        if !models.policy.adapters().is_empty() && !self.may_continue_adapter()? {
            return Ok(Frozen::PolicyWithoutAdapters);
        }
        let policy = if self.is_resumed { self.start_again()? } else { models.policy.clone() };
        Ok(Frozen::Model(Box::new(merged(policy).valid())))
    }

    /// Whether the policy may have begun with trained adapters: those of the model that the run starts from.
    fn may_continue_adapter(&self) -> Result<bool, TrainError> {
        let from = self.recipe.from.as_ref().filter(|_| self.index == 0);
        let source = from.map(|from| ModelSource::open(Path::new(from))).transpose()?;
        Ok(source.is_some_and(|source| !source.adapters().is_empty()))
    }

    /// The models before the first step of the run.
    fn start_of_run(&self) -> Result<Models, TrainError> {
        init_models(self.recipe, self.tokenizer, self.device, false)
    }

    /// The policy before the first step of the stage, from the last checkpoint of the stage before it.
    fn start_again(&self) -> Result<Model, TrainError> {
        let Some(previous) = self.index.checked_sub(1) else { return Ok(self.start_of_run()?.policy) };
        let stage = self.folder.stage(previous, &self.recipe.stages[previous].name);
        let step = stage.checkpoints().newest_step()?.unwrap_or_default();
        let config = model_config(self.recipe, self.tokenizer)?;
        let model = Model::init(&config, self.recipe.seed, self.device);
        let model = set_stage_adapter(model, &self.recipe.stages[previous], self.recipe.seed)?;
        let (_, tensors) = stage.checkpoints().load_model(step)?;
        load_weights(model, tensors, &stage.checkpoints().folder(step).join(MODEL_FILE))
    }

    /// A model from a path, without autodiff.
    fn load(&self, name: &str, path: &str, policy: &Model) -> Result<Model, TrainError> {
        let model = merged(ModelSource::open(Path::new(path))?.load_model(self.device)?.model);
        let [found, expected] = [model.config().vocab, policy.config().vocab];
        if found == expected {
            return Ok(model);
        }
        let reason = format!("the {name} in {path} has {found} tokens, but the model that is trained has {expected}");
        let error = ValidationError::new(self.path(name), reason);
        Err(ConfigError::from(error.with_suggestion("a model with the same tokenizer")).into())
    }

    fn no_adapters(&self, name: &str) -> ConfigError {
        let reason = "\"base\" is the model without its adapters, but the stage has no adapter";
        let error = ValidationError::new(self.path(name), reason);
        error.with_suggestion(format!("{name} = \"start\", or [stages.adapter]")).into()
    }

    /// The key of a frozen model in the recipe.
    fn path(&self, name: &str) -> String {
        let objective = self.recipe.stages[self.index].objective.name();
        format!("stages[{}].objective.{objective}.{name}", self.index)
    }
}

/// The model with its adapters merged into its weights.
fn merged(model: Model) -> Model {
    if model.adapters().is_empty() { model } else { merge(&model) }
}
