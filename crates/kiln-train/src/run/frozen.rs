//! The frozen models of a stage: what the objective reads beside the model that is trained.
//!
//! [`check_frozen_sources`] and [`check_frozen_models`] refuse a model that does not fit before any weights are loaded.

use super::{
    frozen_tokens::check_tokens,
    load::load_weights,
    model_config,
    objectives::ObjectiveFactory,
    setup::{init_models, set_stage_adapter},
};
use crate::{
    Models, Objective, Recipe, TrainError,
    checkpoint::MODEL_FILE,
    models::{Frozen, FrozenModelConfig, FrozenSource},
    optimizer::matches,
    pretrained::ModelSource,
    run_folder::RunPaths,
};
use burn::{module::Module, tensor::Device};
use kiln_data::Tokenizer;
use kiln_models::{Model, ModelConfig, Stack, named_parameters};
use kiln_peft::{detach, merge};
use kiln_spec::{ValidationError, config::ConfigError};
use std::{collections::BTreeMap, path::Path};

/// A stage whose frozen models are built.
pub(super) struct FrozenStage<'a> {
    pub recipe: &'a Recipe,
    pub folder: &'a RunPaths,
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
    /// The frozen models of `objective` by name. `models` has the policy with the adapters of the stage. Models in
    /// `precomputed` are not loaded.
    ///
    /// # Errors
    /// If a model cannot be loaded or does not fit the policy.
    pub fn build(
        &self,
        objective: &dyn Objective,
        models: &Models,
        mut precomputed: BTreeMap<String, Frozen>,
    ) -> Result<BTreeMap<String, Frozen>, TrainError> {
        let mut frozen = BTreeMap::new();
        for FrozenModelConfig { name, source, .. } in objective.frozen_models() {
            let model = match (precomputed.remove(name), source) {
                (Some(values), _) => values,
                (None, FrozenSource::Start) => self.start(models)?,
                (None, FrozenSource::Base) => self.base(name, models)?,
                (None, FrozenSource::Path(path)) => Frozen::Model(Box::new(self.load(&path)?)),
            };
            frozen.insert(name.to_owned(), model);
        }
        Ok(frozen)
    }

    /// The policy before the first step of the stage. New adapters compute nothing at first, so that a stage that attaches
    /// adapters began as its base; virtual tokens change the model from the start.
    fn start(&self, models: &Models) -> Result<Frozen, TrainError> {
        let has_adapters = !models.policy.adapters().is_empty() && models.policy.num_virtual_tokens() == 0;
        if has_adapters && !self.may_continue_adapter()? && !self.trains_base(&models.policy) {
            return Ok(Frozen::PolicyWithoutAdapters);
        }
        let policy = if self.is_resumed { self.start_again()? } else { models.policy.clone() };
        Ok(Frozen::Model(Box::new(merged(policy).valid())))
    }

    /// The policy without its adapters.
    fn base(&self, name: &str, models: &Models) -> Result<Frozen, TrainError> {
        if !self.trains_base(&models.policy) {
            return Ok(Frozen::PolicyWithoutAdapters);
        }
        let reason = "\"base\" is the model without its adapters, but `trainable` names weights of the model itself";
        let error = ValidationError::new(model_path(self.recipe, self.index, name), reason);
        Err(ConfigError::from(error.with_suggestion(format!("{name} = \"start\", or trainable = [\"*\"]"))).into())
    }

    /// Whether the stage trains weights beside the adapters.
    fn trains_base(&self, policy: &Model) -> bool {
        let names = named_parameters(&detach(policy));
        let patterns = &self.recipe.stages[self.index].trainable;
        names.iter().any(|name| patterns.iter().any(|pattern| matches(pattern, &name.path)))
    }

    /// Whether the policy may have begun with trained adapters: those of the model that the run starts from.
    fn may_continue_adapter(&self) -> Result<bool, TrainError> {
        let from = self.recipe.from.as_ref().filter(|_| self.index == 0);
        let source = from.map(|from| ModelSource::open(Path::new(from))).transpose()?;
        Ok(source.is_some_and(|source| !source.adapters().is_empty()))
    }

    /// The policy before the first step of the stage: that of the start of the run, or of the last checkpoint of the stage
    /// before it.
    fn start_again(&self) -> Result<Model, TrainError> {
        let Some(previous) = self.index.checked_sub(1) else {
            return Ok(init_models(self.recipe, self.tokenizer, self.device, false)?.policy);
        };
        let stage = self.folder.stage(previous, &self.recipe.stages[previous].name);
        let step = stage.checkpoints().newest_step()?.unwrap_or_default();
        let config = model_config(self.recipe, self.tokenizer)?;
        let model = Model::outline(&config, self.device);
        let model = set_stage_adapter(model, &self.recipe.stages[previous], self.recipe.seed)?;
        let (_, tensors) = stage.checkpoints().load_model(step)?;
        load_weights(model, tensors, &stage.checkpoints().folder(step).join(MODEL_FILE))
    }

    /// A model from a path, without autodiff. Packed weights stay packed.
    fn load(&self, path: &str) -> Result<Model, TrainError> {
        Ok(merged(ModelSource::open(Path::new(path))?.load_model(self.device)?.model))
    }
}

/// A model of a run, with the frozen models of stage `index` of its recipe, for evaluations after the training.
///
/// # Errors
/// If a model cannot be loaded or does not fit the policy.
pub fn load_frozen_models(
    folder: &RunPaths,
    (recipe, index): (&Recipe, usize),
    tokenizer: &Tokenizer,
    policy: Model,
) -> Result<Models, TrainError> {
    let objective = recipe.stages[index].objective.build();
    check_stage(recipe, index, &*objective, Some(tokenizer))?;
    let mut models = Models::new(policy);
    let device = &models.policy.device().without_autodiff();
    let stage = FrozenStage { recipe, folder, tokenizer, device, index, is_resumed: true };
    models.frozen = stage.build(&*objective, &models, BTreeMap::new())?;
    Ok(models)
}

/// Checks that the frozen models that the stages name by a path exist and have an architecture that fits. Reads no weights.
///
/// # Errors
/// The first that does not, with its key in the recipe.
pub(super) fn check_frozen_sources(recipe: &Recipe, objectives: ObjectiveFactory) -> Result<(), TrainError> {
    let stages = recipe.stages.iter().enumerate();
    stages.into_iter().try_for_each(|(index, stage)| check_stage(recipe, index, &*objectives(stage), None))
}

/// Checks that the frozen models of all stages have the tokens of the model that is trained. Reads no weights.
///
/// # Errors
/// The first that has others, with its key in the recipe.
pub(super) fn check_frozen_models(
    recipe: &Recipe,
    tokenizer: &Tokenizer,
    objectives: ObjectiveFactory,
) -> Result<(), TrainError> {
    let stages = recipe.stages.iter().enumerate();
    stages.into_iter().try_for_each(|(index, stage)| check_stage(recipe, index, &*objectives(stage), Some(tokenizer)))
}

/// Size of a frozen model that is loaded from a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrozenModelSize {
    /// Its name, such as `teacher`.
    pub name: &'static str,
    /// Its key in the recipe.
    pub key: String,
    /// Its path.
    pub path: String,
    /// Bytes of its weights in memory: packed weights stay packed.
    pub bytes: u64,
}

/// Sizes of the frozen models that the stages of a recipe load from paths. Reads no weights.
///
/// # Errors
/// If a model does not exist, or its files are damaged.
pub fn frozen_model_sizes(recipe: &Recipe) -> Result<Vec<FrozenModelSize>, TrainError> {
    let mut sizes = Vec::new();
    for (index, stage) in recipe.stages.iter().enumerate() {
        for FrozenModelConfig { name, source, .. } in stage.objective.build().frozen_models() {
            let FrozenSource::Path(path) = source else { continue };
            let bytes = weight_bytes(&ModelSource::open(Path::new(&path))?)?;
            sizes.push(FrozenModelSize { name, key: model_path(recipe, index, name), path, bytes });
        }
    }
    Ok(sizes)
}

/// Bytes of the weights of a model in memory. A run, and a type that has no packed form, are held in 32 bits.
fn weight_bytes(source: &ModelSource) -> Result<u64, TrainError> {
    const BYTES_PER_WEIGHT: u64 = 4;
    let dtypes = source.dtypes()?;
    if dtypes.is_empty() {
        return Ok(Model::num_parameters(&source.config()?) as u64 * BYTES_PER_WEIGHT);
    }
    let bytes = dtypes.iter().map(|summary| match summary.num_bytes().filter(|_| summary.can_multiply()) {
        Some(bytes) => bytes as u64,
        None => summary.num_values as u64 * BYTES_PER_WEIGHT,
    });
    Ok(bytes.sum())
}

/// Checks the frozen models of one stage; their tokens too if `tokenizer` is that of the run.
fn check_stage(
    recipe: &Recipe,
    index: usize,
    objective: &dyn Objective,
    tokenizer: Option<&Tokenizer>,
) -> Result<(), TrainError> {
    for FrozenModelConfig { name, source, .. } in objective.frozen_models() {
        let key = model_path(recipe, index, name);
        let path = match source {
            FrozenSource::Path(path) => path,
            FrozenSource::Base if recipe.stages[index].adapter.is_none() => return Err(no_adapters(&key, name).into()),
            FrozenSource::Start | FrozenSource::Base => continue,
        };
        let source = ModelSource::open(Path::new(&path))?;
        let config = source.config()?;
        let check = check_decoder(&config, name, &path, &key)
            .and_then(|()| check_positions(&config, recipe.stages[index].sequence_length, name, &path, &key))
            .and_then(|()| objective.check_frozen(name, &config, &recipe.model, &key));
        check.map_err(ConfigError::from)?;
        if let Some(tokenizer) = tokenizer {
            check_tokens(&source.tokenizer()?, config.vocab, tokenizer, &format!("the {name} in {path}"), &key)
                .map_err(ConfigError::from)?;
        }
    }
    Ok(())
}

/// Checks that a frozen model predicts the next token.
fn check_decoder(config: &ModelConfig, name: &str, path: &str, key: &str) -> Result<(), ValidationError> {
    let found = match config.stack {
        _ if config.head.pooling().is_some() => format!("has the head `{}`", config.head.name()),
        Stack::Decoder => return Ok(()),
        stack => format!("is an {}", stack.name()),
    };
    let reason = format!("expected a model that predicts the next token, but the {name} in {path} {found}");
    Err(ValidationError::new(key, reason).with_suggestion("the path of a decoder with a language-model head"))
}

/// Checks that a frozen model can read sequences of `length` tokens.
fn check_positions(
    config: &ModelConfig,
    length: usize,
    name: &str,
    path: &str,
    key: &str,
) -> Result<(), ValidationError> {
    let Some(max) = config.max_positions().filter(|max| *max < length) else { return Ok(()) };
    let reason = format!("the {name} in {path} reads at most {max} tokens, but sequence_length is {length}");
    Err(ValidationError::new(key, reason).with_suggestion(format!("sequence_length = {max}, or another model")))
}

fn no_adapters(key: &str, name: &str) -> ConfigError {
    let reason = "\"base\" is the model without its adapters, but the stage has no adapter";
    let error = ValidationError::new(key, reason);
    error.with_suggestion(format!("{name} = \"start\", or an adapter such as adapter = \"lora\"")).into()
}

/// The key of the frozen model `name` in the recipe.
fn model_path(recipe: &Recipe, index: usize, name: &str) -> String {
    let objective = recipe.stages[index].objective.name();
    format!("stages[{index}].objective.{objective}.{name}")
}

/// The model with its adapters merged into its weights. Virtual tokens cannot be merged: their model keeps its adapters.
fn merged(model: Model) -> Model {
    if model.adapters().is_empty() { model } else { merge(&model).unwrap_or(model) }
}
