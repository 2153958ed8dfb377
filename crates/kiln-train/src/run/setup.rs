//! Preparation of a run: data sources, tokenizer and models.

use super::{data, progress::ProgressListener};
use crate::{
    Models, Recipe, StageConfig, TrainError,
    pretrained::ModelSource,
    run_folder::{RunFolder, RunPaths, write_atomic},
};
use burn::tensor::Device;
use kiln_data::{StopSignal, Tokenizer};
use kiln_infer::block_on;
use kiln_models::{Model, ModelConfig, load_state_dict};
use kiln_peft::{attach, merge};
use kiln_spec::{Random, ValidationError, config::ConfigError};
use serde_json::{Map, Value, json};
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

/// The models before the first step. Random weights, or those of the model in `recipe.from`, unless `is_resumed`: then a
/// checkpoint is loaded into them.
///
/// # Errors
/// If the model to start from cannot be loaded, or its weights do not match the model of the recipe.
pub fn init_models(
    recipe: &Recipe,
    tokenizer: &Tokenizer,
    device: &Device,
    is_resumed: bool,
) -> Result<Models, TrainError> {
    let mut policy = Model::init(&model_config(recipe, tokenizer)?, recipe.seed, &device.clone().autodiff());
    if let Some(from) = recipe.from.as_ref().filter(|_| !is_resumed) {
        let source = ModelSource::open(Path::new(from))?;
        let model = source.load_model(device)?.model;
        let model = if continues_adapter(recipe, &source, &model) { model } else { merge(&model) };
        policy = policy.with_adapters(model.adapters().clone(), recipe.seed);
        let weights = block_on(kiln_models::state_dict(&model))?;
        policy = load_state_dict(policy, weights)
            .map_err(|mismatch| TrainError::WeightMismatch { file: from.into(), mismatch })?;
    }
    Ok(Models::new(policy))
}

/// Whether the first stage continues to train the adapters of the model in `recipe.from`, which then must not be merged.
fn continues_adapter(recipe: &Recipe, from: &ModelSource, model: &Model) -> bool {
    let adapter = recipe.stages.first().and_then(|stage| stage.adapter.as_ref());
    let configured = adapter.and_then(|adapter| adapter.build_adapters(model.config(), "adapter").ok());
    !from.adapters().is_empty() && configured.as_ref() == Some(model.adapters())
}

/// The model of a stage: the adapters of an earlier stage are merged into its weights, and those of `stage` are attached.
///
/// # Errors
/// If the adapters of the stage do not match the model.
pub fn set_stage_adapter(model: Model, stage: &StageConfig, seed: u64) -> Result<Model, TrainError> {
    let model = if model.adapters().is_empty() { model } else { merge(&model) };
    let Some(adapter) = &stage.adapter else { return Ok(model) };
    let seed = Random::new(seed, &format!("adapter.{}", stage.name), 0, 0).next_u64();
    attach(&model, adapter, seed).map_err(|error| ConfigError::from(error).into())
}

/// The tokenizer of a run, for the rows of its model. A run that starts from a model uses its tokenizer, chat template and
/// end tokens, and saves them.
///
/// # Errors
/// If the tokenizer cannot be read, trained or saved.
pub fn prepare_tokenizer(
    recipe: &Recipe,
    folder: &RunFolder,
    stop: StopSignal,
    listener: &mut dyn ProgressListener,
) -> Result<Tokenizer, TrainError> {
    if let Some(from) = recipe.from.as_ref().filter(|_| !folder.tokenizer().exists()) {
        let from = ModelSource::open(Path::new(from))?;
        let tokenizer = from.tokenizer()?;
        // Saved before the tokenizer, whose file marks this step as complete.
        save_chat_files(&from, folder)?;
        write_atomic(&folder.tokenizer(), tokenizer.to_json().as_bytes())?;
    }
    let tokenizer = data::load_or_train_tokenizer(recipe, folder, stop, listener)?;
    let rows = model_config(recipe, &tokenizer)?.vocab;
    Ok(tokenizer.with_model_rows(rows))
}

/// Writes chat template, settings of the tokenizer and generation settings of the model that a run starts from into the run
/// folder, in the layout of a Hugging Face folder. Writes no file for what the model does not have.
///
/// # Errors
/// If a file cannot be read or written.
fn save_chat_files(origin: &ModelSource, run: &RunPaths) -> Result<(), TrainError> {
    let mut settings = match origin.tokenizer_config()? {
        Some(Value::Object(config)) => config,
        _ => Map::new(),
    };
    // A template of its own file or of an adapter folder precedes that of tokenizer_config.json.
    if !origin.adapters().is_empty() || origin.base_path().join("chat_template.jinja").is_file() {
        settings.remove("chat_template");
    }
    if let Some(Value::Object(config)) = origin.chat_template()?.map(|template| template.to_config()) {
        for (key, value) in config {
            settings.entry(key).or_insert(value);
        }
    }
    if !settings.is_empty() {
        write_atomic(&run.tokenizer_config(), format!("{:#}\n", Value::Object(settings)).as_bytes())?;
    }
    let stop_ids = origin.stop_token_ids()?;
    let mut config = origin.generation_config()?.filter(Value::is_object);
    if !stop_ids.is_empty() {
        // A model without settings is sampled from its own distribution. A file without these keys would mean otherwise.
        let config = config.get_or_insert_with(|| json!({ "do_sample": true, "top_k": 0 }));
        config["eos_token_id"] = stop_ids.into();
    }
    if let Some(config) = config {
        write_atomic(&run.generation_config(), format!("{config:#}\n").as_bytes())?;
    }
    Ok(())
}
