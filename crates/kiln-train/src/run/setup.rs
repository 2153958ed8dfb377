//! Preparation of a run: data sources, tokenizer and models.

use super::{data, environment::Runtime, progress::ProgressListener};
use crate::{
    Models, Recipe, StageConfig, TrainError,
    pretrained::ModelSource,
    run_folder::{RunFolder, RunPaths},
    storage::write_atomic,
};
use burn::tensor::Device;
use kiln_data::{ChatTemplate, StopSignal, Tokenizer, dataset};
use kiln_models::{Model, ModelConfig};
use kiln_peft::{attach, build_adapters, merge};
use kiln_spec::{Random, ValidationError, config::ConfigError};
use serde_json::Value;
use std::{cmp::Ordering, path::Path};

/// The model configuration of a recipe, with the vocabulary size of the tokenizer.
///
/// The `model.vocab` of a pretrained model stays: it may have unused rows, and its tokenizer may have tokens without a row.
///
/// # Errors
/// If `model.vocab` is not 0 and does not match the tokenizer.
pub fn model_config(recipe: &Recipe, tokenizer: &Tokenizer) -> Result<ModelConfig, TrainError> {
    let [vocab, tokenizer_size] = [recipe.model.vocab, tokenizer.vocab_size()];
    let is_valid = match vocab.cmp(&tokenizer_size) {
        _ if vocab == 0 => true,
        Ordering::Less => recipe.from.is_some() && !tokenizer.is_kiln_trained(),
        Ordering::Equal => true,
        Ordering::Greater => !tokenizer.is_kiln_trained(),
    };
    if !is_valid {
        let reason = format!("model.vocab = {vocab}, but the tokenizer has {tokenizer_size} tokens");
        return Err(ConfigError::from(
            ValidationError::new("model.vocab", reason)
                .with_suggestion("vocab = 0, which takes the size of the tokenizer"),
        )
        .into());
    }
    let mut config = ModelConfig { vocab: if vocab == 0 { tokenizer_size } else { vocab }, ..recipe.model.clone() };
    config.resolve();
    Ok(config)
}

/// The models before the first step. Random weights, or those of the model in `recipe.from`, held in the recipe's precision.
/// With `is_resumed` they are without values: a checkpoint is loaded into them.
///
/// # Errors
/// If the model to start from cannot be loaded, or its weights do not match the model of the recipe.
pub fn init_models(
    recipe: &Recipe,
    tokenizer: &Tokenizer,
    device: &Device,
    is_resumed: bool,
) -> Result<Models, TrainError> {
    let (config, device) = (model_config(recipe, tokenizer)?, device.clone().autodiff());
    let precision = recipe.weight_precision();
    let policy = match &recipe.from {
        _ if is_resumed => Model::outline(&config, &device),
        None => match (Model::init(&config, recipe.seed, &device), precision.half_dtype()) {
            (model, Some(half)) => model.with_weight_dtype(half),
            (model, None) => model,
        },
        Some(from) => {
            let source = ModelSource::open(Path::new(from))?;
            let model = source.load_model_as(&device, precision)?.model;
            let keeps_adapters = model.adapters().is_empty() || continues_adapter(recipe, &source, &model);
            let model = if keeps_adapters { model } else { merge(&model).map_err(ConfigError::from)? };
            let mismatched = |mismatch| TrainError::WeightMismatch { file: from.into(), mismatch };
            model.with_config(&config).map_err(mismatched)?
        }
    };
    Ok(Models::new(policy))
}

/// Whether the first stage continues to train the adapters of the model in `recipe.from`, which then must not be merged.
fn continues_adapter(recipe: &Recipe, from: &ModelSource, model: &Model) -> bool {
    let adapter = recipe.stages.first().and_then(|stage| stage.adapter.as_ref());
    let configured = adapter.and_then(|adapter| build_adapters(adapter, model.config(), "adapter").ok());
    !from.adapters().is_empty() && configured.as_ref() == Some(model.adapters())
}

/// The model of a stage: the adapters of an earlier stage are merged into its weights, and those of `stage` are attached.
///
/// # Errors
/// If the adapters of the stage do not match the model.
pub fn set_stage_adapter(model: Model, stage: &StageConfig, seed: u64) -> Result<Model, TrainError> {
    let model = if model.adapters().is_empty() { model } else { merge(&model).map_err(ConfigError::from)? };
    let Some(adapter) = &stage.adapter else { return Ok(model) };
    let seed = Random::new(seed, &format!("adapter.{}", stage.name), 0, 0).next_u64();
    attach(&model, adapter, seed).map_err(|error| ConfigError::from(error).into())
}

/// The tokenizer of a run, for the rows of its model. A run that starts from a model uses its tokenizer, chat template and
/// end tokens, and saves them.
///
/// # Errors
/// If the tokenizer cannot be read, trained or saved.
pub(super) async fn prepare_tokenizer(
    recipe: &Recipe,
    folder: &RunFolder,
    runtime: &dyn Runtime,
    stop: StopSignal<'_>,
    listener: &mut dyn ProgressListener,
) -> Result<Tokenizer, TrainError> {
    if let Some(from) = recipe.from.as_ref().filter(|_| !folder.storage().exists(&folder.tokenizer())) {
        let from = ModelSource::open(Path::new(from))?;
        let tokenizer = from.tokenizer()?;
        // Saved before the tokenizer, whose file marks this step as complete.
        from.save_chat_files(folder)?;
        write_atomic(folder.storage(), &folder.tokenizer(), tokenizer.to_json().as_bytes())?;
    }
    let tokenizer = data::load_or_train_tokenizer(recipe, folder, runtime, stop, listener).await?;
    save_data_template(recipe, &tokenizer, folder)?;
    let rows = model_config(recipe, &tokenizer)?.vocab;
    Ok(tokenizer.with_model_rows(rows))
}

/// Writes the chat template that the data name (`data.template`) into the run folder, in place of that of the model: the trained
/// model is to be used with it.
///
/// # Errors
/// If the template or a file cannot be read or written.
fn save_data_template(recipe: &Recipe, tokenizer: &Tokenizer, run: &RunPaths) -> Result<(), TrainError> {
    let data = recipe.stages.iter().map(|stage| stage.data_config(recipe));
    let named = data.flat_map(|data| data.sources.iter().map(|source| &source.template).chain([&data.template]));
    let Some(name) = named.flatten().next_back() else { return Ok(()) };
    let model = ChatTemplate::from_files(run)?;
    let template = dataset::named_template(name, model.as_ref(), tokenizer)?;
    if model.is_some_and(|model| model.template() == template.template()) {
        return Ok(());
    }
    let saved = run.storage().read_text(&run.tokenizer_config()).ok();
    let saved = saved.and_then(|text| serde_json::from_str::<Value>(&text).ok());
    let mut settings = saved.and_then(|settings| settings.as_object().cloned()).unwrap_or_default();
    if let Value::Object(config) = template.to_config() {
        settings.extend(config);
    }
    let settings = format!("{:#}\n", Value::Object(settings));
    Ok(write_atomic(run.storage(), &run.tokenizer_config(), settings.as_bytes())?)
}
