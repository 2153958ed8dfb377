//! Loading of the trained model of a run.

use super::{load_recipe, model_config, setup::set_stage_adapter};
use crate::{
    Recipe, RunFolderError, TrainError,
    checkpoint::{MODEL_FILE, NamedTensors},
    run_folder::RunPaths,
    state_dict::values_from_tensors,
};
use burn::tensor::Device;
use kiln_data::Tokenizer;
use kiln_infer::GenerationMode;
use kiln_models::{Model, load_state_dict};
use std::{fs, path::Path};

/// The trained model of a run, finished or not, with its tokenizer and recipe.
pub struct LoadedRun {
    /// The model, without autodiff, with the adapters of its last stage.
    pub model: Model,
    /// The tokenizer of the run.
    pub tokenizer: Tokenizer,
    /// The recipe of the run.
    pub recipe: Recipe,
    /// Step of the checkpoint within its stage.
    pub step: u64,
}

impl LoadedRun {
    /// How the model generates and infills text, by the objective of the last stage.
    pub fn generation_mode(&self) -> GenerationMode {
        let objective = self.recipe.stages.last().map(|stage| stage.objective.clone()).unwrap_or_default().build();
        objective.generation_mode(self.model.config(), self.tokenizer.special_tokens())
    }
}

/// Loads the best checkpoint of the last stage that has one, or its last checkpoint if none was evaluated.
///
/// # Errors
/// If the run has no checkpoint, or the checkpoint is damaged.
pub fn load(path: &Path, device: &Device) -> Result<LoadedRun, TrainError> {
    let paths = RunPaths::open(path)?;
    let recipe = load_recipe(&paths)?;
    let Some((stage, last_step)) = paths.newest_checkpoint(&recipe)? else {
        return Err(RunFolderError::NotRunFolder { path: path.to_owned(), found: "no checkpoint yet".into() }.into());
    };
    let step = stage.checkpoints().best_step()?.unwrap_or(last_step);
    let tokenizer = load_tokenizer(&paths)?;
    let config = model_config(&recipe, &tokenizer)?;
    let tokenizer = tokenizer.with_model_rows(config.vocab);
    let model = Model::init(&config, recipe.seed, device);
    let model = set_stage_adapter(model, &recipe.stages[stage.index], recipe.seed)?;
    let file = stage.checkpoints().folder(step).join(MODEL_FILE);
    let (_, tensors) = stage.checkpoints().load_model(step)?;
    Ok(LoadedRun { model: load_weights(model, tensors, &file)?, tokenizer, recipe, step })
}

/// Reads the tokenizer of a run.
///
/// # Errors
/// If the run has none yet, or its file is damaged.
pub fn load_tokenizer(paths: &RunPaths) -> Result<Tokenizer, TrainError> {
    let file = paths.tokenizer();
    let json = fs::read_to_string(&file).map_err(|error| RunFolderError::from_io("read", &file, error))?;
    Ok(Tokenizer::from_json(&json)?)
}

/// The model with the weights in `tensors`, which were read from `file`.
pub fn load_weights(model: Model, tensors: NamedTensors, file: &Path) -> Result<Model, TrainError> {
    let values =
        values_from_tensors(tensors).map_err(|tensor| TrainError::InvalidTensor { file: file.to_owned(), tensor })?;
    load_state_dict(model, values).map_err(|mismatch| TrainError::WeightMismatch { file: file.to_owned(), mismatch })
}
