//! Adapter folders on disk.

use super::{FolderError, read, write};
use kiln_models::{
    Model,
    files::{SafeTensorsFiles, save_json, save_tensors},
    hf::Family,
    tensors::InMemory,
};
use serde_json::Value;
use std::{fs, path::Path};

/// What the adapters are.
pub const CONFIG: &str = "adapter_config.json";
/// Their numbers.
const WEIGHTS: &str = "adapter_model.safetensors";

fn failed<E: ToString>(file: &Path) -> impl FnOnce(E) -> FolderError {
    let file = file.to_owned();
    move |error| FolderError::File { file, reason: error.to_string() }
}

/// The model with the adapters of a folder.
///
/// # Errors
/// If a file can't be read, or as for [`read`].
pub fn load(model: &Model, family: Option<&Family>, folder: &Path) -> Result<Model, FolderError> {
    let (config, weights) = (folder.join(CONFIG), folder.join(WEIGHTS));
    let json = fs::read(&config).map_err(failed(&config))?;
    let json: Value = serde_json::from_slice(&json).map_err(failed(&config))?;
    let tensors = SafeTensorsFiles::open(std::slice::from_ref(&weights)).map_err(failed(&weights))?;
    read(model, family, &json, &tensors)
}

/// Saves the adapters of a model; `base` is what the folder calls the model that they belong to.
///
/// # Errors
/// If a file can't be written, or as for [`write()`].
pub async fn save(
    model: &Model,
    family: Option<&Family>,
    folder: &Path,
    base: Option<&str>,
) -> Result<(), FolderError> {
    let (config, values) = write(model, family, base).await?;
    fs::create_dir_all(folder).map_err(failed(folder))?;
    save_tensors(&folder.join(WEIGHTS), &InMemory::from(values))?;
    Ok(save_json(&folder.join(CONFIG), &config)?)
}
