//! What a run needs before its first step.

use super::{data, progress::ProgressListener};
use crate::{
    Models, Recipe, StageConfig, TrainError,
    pretrained::{self, ModelSource},
    run_folder::{RunFolder, write_atomic},
};
use burn::tensor::Device;
use kiln_data::{StopSignal, Tokenizer};
use kiln_infer::block_on;
use kiln_models::{Model, ModelConfig, load_state_dict};
use kiln_peft::{attach, merge};
use kiln_spec::{Random, ValidationError, config::ConfigError};
use std::path::Path;

/// Whether text, tokenizer and origin are where the recipe says; reads no text and no weights.
pub fn check_sources(recipe: &Recipe) -> Result<(), TrainError> {
    recipe.stages.iter().try_for_each(|stage| stage.data_config(recipe).source.open().map(drop))?;
    match &recipe.from {
        Some(from) => ModelSource::open(Path::new(from)).map(drop)?,
        None => recipe.tokenizer.ensure_readable()?,
    }
    Ok(())
}

/// The model that a recipe describes, with as many tokens as the tokenizer has.
///
/// # Errors
/// If the recipe asks for another number of tokens.
pub fn model_config(recipe: &Recipe, tokenizer: &Tokenizer) -> Result<ModelConfig, TrainError> {
    let (asked, found) = (recipe.model.vocab, tokenizer.vocab_size());
    // Others' models may have room for more tokens than their tokenizers make.
    if asked != 0 && (asked < found || asked > found && tokenizer.is_kiln_trained()) {
        let reason = format!("the model has {asked} tokens, the tokenizer {found}");
        return Err(ConfigError::from(ValidationError::new("model.vocab", reason).with_suggestion("vocab = 0")).into());
    }
    let mut config = ModelConfig { vocab: asked.max(found), ..recipe.model.clone() };
    config.resolve();
    Ok(config)
}

/// The models before the first step; `fresh` ones begin where the recipe says.
pub fn init_models(recipe: &Recipe, tokenizer: &Tokenizer, device: &Device, fresh: bool) -> Result<Models, TrainError> {
    let mut policy = Model::init(&model_config(recipe, tokenizer)?, recipe.seed, &device.clone().autodiff());
    if let Some(from) = recipe.from.as_ref().filter(|_| fresh) {
        let place = ModelSource::open(Path::new(from))?;
        let model = place.load_model(device)?.model;
        let model = if continues_adapter(recipe, &place, &model) { model } else { merge(&model) };
        policy = policy.with_adapters(model.adapters().clone(), recipe.seed);
        let weights = block_on(kiln_models::state_dict(&model))?;
        policy = load_state_dict(policy, weights)
            .map_err(|mismatch| TrainError::WeightMismatch { file: from.into(), mismatch })?;
    }
    Ok(Models { policy })
}

/// Whether the first stage trains the very adapters that a folder of adapters holds.
fn continues_adapter(recipe: &Recipe, from: &ModelSource, model: &Model) -> bool {
    let adapter = recipe.stages.first().and_then(|stage| stage.adapter.as_ref());
    let chosen = adapter.and_then(|adapter| adapter.build_adapters(model.config(), "adapter").ok());
    !from.adapters().is_empty() && chosen.as_ref() == Some(model.adapters())
}

/// The model as a stage has it: adapters of an earlier one merged, its own beside.
pub fn set_stage_adapter(model: Model, stage: &StageConfig, seed: u64) -> Result<Model, TrainError> {
    let model = if model.adapters().is_empty() { model } else { merge(&model) };
    let Some(adapter) = &stage.adapter else { return Ok(model) };
    let seed = Random::new(seed, &format!("adapter.{}", stage.name), 0, 0).next_u64();
    attach(&model, adapter, seed).map_err(|refusal| ConfigError::from(refusal).into())
}

/// A run that starts from a model keeps its tokenizer, and what a conversation with it needs.
pub fn prepare_tokenizer(
    recipe: &Recipe,
    folder: &RunFolder,
    stop: StopSignal,
    watch: &mut dyn ProgressListener,
) -> Result<Tokenizer, TrainError> {
    if let Some(from) = recipe.from.as_ref().filter(|_| !folder.tokenizer().exists()) {
        let from = ModelSource::open(Path::new(from))?;
        let tokenizer = from.tokenizer()?;
        // Before the tokenizer, which says that all of it is there.
        pretrained::save_chat_files(&from, folder)?;
        write_atomic(&folder.tokenizer(), tokenizer.to_json().as_bytes())?;
    }
    data::load_or_train_tokenizer(recipe, folder, stop, watch)
}
