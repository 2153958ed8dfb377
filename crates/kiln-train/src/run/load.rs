//! The model that a run left.

use super::{before::adapted, model_config, recipe};
use crate::{
    Failure, Recipe, RunError,
    checkpoint::{MODEL, Tensors},
    folder::RunPaths,
    weights::to_values,
};
use burn::tensor::Device;
use kiln_data::Tokenizer;
use kiln_infer::Usage;
use kiln_models::{Model, filled};
use std::{fs, path::Path};

/// A finished or unfinished run's model, best or last checkpoint, ready to be used.
pub struct Loaded {
    /// The model, on the plain device, with the adapters of its last stage.
    pub model: Model,
    /// Its tokenizer.
    pub tokenizer: Tokenizer,
    /// The recipe of the run.
    pub recipe: Recipe,
    /// Steps that it was trained for.
    pub step: u64,
}

impl Loaded {
    /// What the model does with a text, as its last stage has trained it.
    pub fn usage(&self) -> Usage {
        let objective = self.recipe.stages.last().map(|stage| stage.objective.clone()).unwrap_or_default().build();
        objective.usage(self.model.config(), self.tokenizer.specials())
    }
}

/// Loads the best checkpoint of a run's last stage, or its newest if none was measured.
///
/// # Errors
/// If there is none, or it is damaged.
pub fn load(path: &Path, device: &Device) -> Result<Loaded, Failure> {
    let paths = RunPaths::open(path)?;
    let recipe = recipe(&paths)?;
    let none = || RunError::NotARun { path: path.to_owned(), found: "no checkpoint yet".into() };
    let (stage, newest) = paths.newest(&recipe)?.ok_or_else(none)?;
    let step = stage.checkpoints().best()?.unwrap_or(newest);
    let tokenizer = fs::read_to_string(paths.tokenizer()).map_err(|e| RunError::io("read", &paths.tokenizer(), e))?;
    let tokenizer = Tokenizer::from_json(&tokenizer)?;
    let model = Model::init(&model_config(&recipe, &tokenizer)?, recipe.seed, device);
    let model = adapted(model, &recipe.stages[stage.index], recipe.seed)?;
    let file = stage.checkpoints().folder(step).join(MODEL);
    let (_, tensors) = stage.checkpoints().load_model(step)?;
    Ok(Loaded { model: fill(model, tensors, &file)?, tokenizer, recipe, step })
}

/// The model with the tensors of a file.
pub fn fill(model: Model, tensors: Tensors, file: &Path) -> Result<Model, Failure> {
    let odd = || Failure::Tensor { file: file.to_owned(), tensor: "a tensor of another type".into() };
    let values = to_values(tensors).ok_or_else(odd)?;
    filled(model, values).map_err(|mismatch| Failure::Weights { file: file.to_owned(), mismatch })
}
