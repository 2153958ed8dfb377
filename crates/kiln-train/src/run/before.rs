//! What a run needs before its first step.

use super::{text, watch::Watch};
use crate::{
    Failure, Models, Recipe, StageConfig,
    folder::{RunFolder, write_atomic},
    pretrained::{self, Place},
};
use burn::tensor::Device;
use kiln_data::{Stop, Tokenizer};
use kiln_infer::block_on;
use kiln_models::{Model, ModelConfig, filled};
use kiln_peft::{attach, merge};
use kiln_spec::{Random, Refusal, config::ConfigError};
use std::path::Path;

/// Whether text, tokenizer and origin are where the recipe says; reads no text and no weights.
pub fn there(recipe: &Recipe) -> Result<(), Failure> {
    recipe.stages.iter().try_for_each(|stage| stage.data(recipe).source.open().map(drop))?;
    match &recipe.from {
        Some(from) => Place::of(Path::new(from)).map(drop)?,
        None => recipe.tokenizer.there()?,
    }
    Ok(())
}

/// The model that a recipe describes, with as many tokens as the tokenizer has.
///
/// # Errors
/// If the recipe asks for another number of tokens.
pub fn model_config(recipe: &Recipe, tokenizer: &Tokenizer) -> Result<ModelConfig, Failure> {
    let (asked, found) = (recipe.model.vocab, tokenizer.vocab());
    // Others' models may have room for more tokens than their tokenizers make.
    if asked != 0 && (asked < found || asked > found && tokenizer.is_own()) {
        let reason = format!("the model has {asked} tokens, the tokenizer {found}");
        return Err(ConfigError::from(Refusal::new("model.vocab", reason).instead("vocab = 0")).into());
    }
    let mut config = ModelConfig { vocab: asked.max(found), ..recipe.model.clone() };
    config.resolve();
    Ok(config)
}

/// The models before the first step; `fresh` ones begin where the recipe says.
pub fn models(recipe: &Recipe, tokenizer: &Tokenizer, device: &Device, fresh: bool) -> Result<Models, Failure> {
    let mut policy = Model::init(&model_config(recipe, tokenizer)?, recipe.seed, &device.clone().autodiff());
    if let Some(from) = recipe.from.as_ref().filter(|_| fresh) {
        let place = Place::of(Path::new(from))?;
        let model = place.weights(device)?.model;
        let model = if goes_on(recipe, &place, &model) { model } else { merge(&model) };
        policy = policy.with_adapters(model.adapters().clone(), recipe.seed);
        let weights = block_on(kiln_models::values(&model))?;
        policy = filled(policy, weights).map_err(|mismatch| Failure::Weights { file: from.into(), mismatch })?;
    }
    Ok(Models { policy })
}

/// Whether the first stage trains the very adapters that a folder of adapters holds.
fn goes_on(recipe: &Recipe, from: &Place, model: &Model) -> bool {
    let adapter = recipe.stages.first().and_then(|stage| stage.adapter.as_ref());
    let chosen = adapter.and_then(|adapter| adapter.select(model.config(), "adapter").ok());
    matches!(from, Place::Adapted { .. }) && chosen.as_ref() == Some(model.adapters())
}

/// The model as a stage has it: adapters of an earlier one merged, its own beside.
pub fn adapted(model: Model, stage: &StageConfig, seed: u64) -> Result<Model, Failure> {
    let model = if model.adapters().is_empty() { model } else { merge(&model) };
    let Some(adapter) = &stage.adapter else { return Ok(model) };
    let seed = Random::new(seed, &format!("adapter.{}", stage.name), 0, 0).next_u64();
    attach(&model, adapter, seed).map_err(|refusal| ConfigError::from(refusal).into())
}

/// A run that starts from a model keeps its tokenizer, and what a conversation with it needs.
pub fn tokenizer(recipe: &Recipe, folder: &RunFolder, stop: Stop, watch: &mut dyn Watch) -> Result<Tokenizer, Failure> {
    if let Some(from) = recipe.from.as_ref().filter(|_| !folder.tokenizer().exists()) {
        let from = Place::of(Path::new(from))?;
        let tokenizer = from.tokenizer()?;
        // Before the tokenizer, which says that all of it is there.
        pretrained::keep(&from, folder)?;
        write_atomic(&folder.tokenizer(), tokenizer.to_json().as_bytes())?;
    }
    text::tokenizer(recipe, folder, stop, watch)
}
