//! The model that a run left.

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

/// A finished or unfinished run's model, best or last checkpoint, ready to be used.
pub struct LoadedRun {
    /// The model, on the plain device, with the adapters of its last stage.
    pub model: Model,
    /// Its tokenizer.
    pub tokenizer: Tokenizer,
    /// The recipe of the run.
    pub recipe: Recipe,
    /// Steps that it was trained for.
    pub step: u64,
}

impl LoadedRun {
    /// What the model does with a text, as its last stage has trained it.
    pub fn generation_mode(&self) -> GenerationMode {
        let objective = self.recipe.stages.last().map(|stage| stage.objective.clone()).unwrap_or_default().build();
        objective.generation_mode(self.model.config(), self.tokenizer.special_tokens())
    }
}

/// Loads the best checkpoint of a run's last stage, or its newest if none was measured.
///
/// # Errors
/// If there is none, or it is damaged.
pub fn load(path: &Path, device: &Device) -> Result<LoadedRun, TrainError> {
    let paths = RunPaths::open(path)?;
    let recipe = load_recipe(&paths)?;
    let none = || RunFolderError::NotRunFolder { path: path.to_owned(), found: "no checkpoint yet".into() };
    let (stage, newest) = paths.newest_checkpoint(&recipe)?.ok_or_else(none)?;
    let step = stage.checkpoints().best_step()?.unwrap_or(newest);
    let tokenizer = load_tokenizer(&paths)?;
    let model = Model::init(&model_config(&recipe, &tokenizer)?, recipe.seed, device);
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

/// The model with the tensors of a file.
pub fn load_weights(model: Model, tensors: NamedTensors, file: &Path) -> Result<Model, TrainError> {
    let odd = || TrainError::InvalidTensor { file: file.to_owned(), tensor: "a tensor of another type".into() };
    let values = values_from_tensors(tensors).ok_or_else(odd)?;
    load_state_dict(model, values).map_err(|mismatch| TrainError::WeightMismatch { file: file.to_owned(), mismatch })
}
