//! Loading of the trained model of a run.

use super::{
    checkpoint_choice::{CheckpointChoice, RunCheckpoint},
    model_config,
    setup::set_stage_adapter,
};
use crate::{
    Recipe, StageConfig, TrainError,
    checkpoint::{MODEL_FILE, NamedTensors},
    run_folder::RunPaths,
    state_dict::values_from_tensors,
};
use burn::tensor::Device;
use kiln_data::{TokenRole, Tokenizer};
use kiln_infer::GenerationMode;
use kiln_models::{Model, WeightPrecision, load_held_weights};
use kiln_pretrained::GenerationSettings;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// The trained model of a run, finished or not, with its tokenizer and recipe.
pub struct LoadedRun {
    /// The model, without autodiff, with the adapters of its last stage.
    pub model: Model,
    /// The tokenizer of the run.
    pub tokenizer: Tokenizer,
    /// The recipe of the run.
    pub recipe: Recipe,
    /// Index of the checkpoint's stage in the recipe.
    pub stage: usize,
    /// Step of the checkpoint within its stage.
    pub step: u64,
}

impl LoadedRun {
    /// The stage of the checkpoint.
    pub fn stage_config(&self) -> &StageConfig {
        &self.recipe.stages[self.stage]
    }

    /// How the model generates and infills text, by the objective of its stage.
    pub fn generation_mode(&self) -> GenerationMode {
        let objective = self.stage_config().objective.build();
        objective.generation_mode(self.model.config(), self.tokenizer.special_tokens())
    }

    /// The generation settings of the run, from those in the contents of `generation_config.json`, which was read from
    /// `config_file`, with its `stop_token_ids`.
    pub fn generation_settings(
        &self,
        mut stop_token_ids: Vec<u32>,
        config_json: Option<Value>,
        config_file: PathBuf,
    ) -> GenerationSettings {
        let special_tokens = self.tokenizer.special_tokens();
        // The run has learned to end its texts with the tokenizer's token, whatever the model it started from used.
        if special_tokens.has_role(TokenRole::Eos) && !stop_token_ids.contains(&special_tokens.eos) {
            stop_token_ids.push(special_tokens.eos);
        }
        let mode = self.generation_mode();
        GenerationSettings { mode, stop_token_ids, config_json, config_file, context_length: None }
    }
}

/// Loads the best checkpoint of the last stage that has one, or its last checkpoint if none was evaluated.
///
/// # Errors
/// If the run has no checkpoint, or the checkpoint is damaged.
#[cfg(feature = "files")]
pub fn load(path: &Path, device: &Device) -> Result<LoadedRun, TrainError> {
    load_checkpoint(path, CheckpointChoice::Best, device)
}

/// Loads a checkpoint of the run in the folder `path`.
///
/// # Errors
/// If the run has no such checkpoint, or the checkpoint is damaged.
#[cfg(feature = "files")]
pub fn load_checkpoint(path: &Path, choice: CheckpointChoice, device: &Device) -> Result<LoadedRun, TrainError> {
    load_checkpoint_as(path, choice, device, WeightPrecision::default_on(device))
}

/// [`load_checkpoint`] with the weights held as `precision` says.
///
/// # Errors
/// As [`load_checkpoint`].
#[cfg(feature = "files")]
pub fn load_checkpoint_as(
    path: &Path,
    choice: CheckpointChoice,
    device: &Device,
    precision: WeightPrecision,
) -> Result<LoadedRun, TrainError> {
    load_in(&RunPaths::open(path)?, choice, device, precision)
}

/// Loads a checkpoint of a run in any storage, with the weights held as `precision` says.
///
/// # Errors
/// If the run has no such checkpoint, or the checkpoint is damaged.
pub fn load_in(
    paths: &RunPaths,
    choice: CheckpointChoice,
    device: &Device,
    precision: WeightPrecision,
) -> Result<LoadedRun, TrainError> {
    let RunCheckpoint { recipe, stage, step } = RunCheckpoint::find_in(paths, choice)?;
    let tokenizer = load_tokenizer(paths)?;
    let config = model_config(&recipe, &tokenizer)?;
    let tokenizer = tokenizer.with_model_rows(config.vocab);
    let model = Model::outline(&config, device);
    let model = set_stage_adapter(model, &recipe.stages[stage.index], recipe.seed)?;
    let file = stage.checkpoints().folder(step).join(MODEL_FILE);
    let (_, tensors) = stage.checkpoints().load_model(step)?;
    let model = load_weights_as(model, tensors, &file, precision)?;
    Ok(LoadedRun { model, tokenizer, recipe, stage: stage.index, step })
}

/// Reads the tokenizer of a run.
///
/// # Errors
/// If the run has none yet, or its file is damaged.
pub fn load_tokenizer(paths: &RunPaths) -> Result<Tokenizer, TrainError> {
    Ok(Tokenizer::from_json(&paths.storage().read_text(&paths.tokenizer())?)?)
}

/// The model with the weights in `tensors`, which were read from `file`, in their types. `model` may be without values.
pub fn load_weights(model: Model, tensors: NamedTensors, file: &Path) -> Result<Model, TrainError> {
    load_weights_as(model, tensors, file, WeightPrecision::Keep)
}

/// [`load_weights`] with the weights held as `precision` says.
fn load_weights_as(
    model: Model,
    tensors: NamedTensors,
    file: &Path,
    precision: WeightPrecision,
) -> Result<Model, TrainError> {
    let weights =
        values_from_tensors(tensors).map_err(|tensor| TrainError::InvalidTensor { file: file.to_owned(), tensor })?;
    load_held_weights(&model, weights, precision)
        .map_err(|mismatch| TrainError::WeightMismatch { file: file.to_owned(), mismatch })
}
