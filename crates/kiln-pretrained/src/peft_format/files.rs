//! Adapter folders on disk.

use super::{PeftFormatError, read_adapters, write_adapters};
use crate::files::{SafeTensorsFiles, save_json, save_tensors};
use kiln_models::{Model, hf::Family, tensors::InMemoryTensors};
use serde_json::Value;
use std::{fs, path::Path};

/// What the adapters are.
pub const CONFIG_FILE: &str = "adapter_config.json";
/// Their numbers.
const WEIGHTS_FILE: &str = "adapter_model.safetensors";

fn file_error<E: ToString>(file: &Path) -> impl FnOnce(E) -> PeftFormatError {
    let file = file.to_owned();
    move |error| PeftFormatError::File { file, reason: error.to_string() }
}

/// The model with the adapters of a folder.
///
/// # Errors
/// If a file can't be read, or as for [`read`].
pub fn load_adapters(model: &Model, family: Option<&Family>, folder: &Path) -> Result<Model, PeftFormatError> {
    let (config, weights) = (folder.join(CONFIG_FILE), folder.join(WEIGHTS_FILE));
    let json = fs::read(&config).map_err(file_error(&config))?;
    let json: Value = serde_json::from_slice(&json).map_err(file_error(&config))?;
    let tensors = SafeTensorsFiles::open(std::slice::from_ref(&weights)).map_err(file_error(&weights))?;
    read_adapters(model, family, &json, &tensors)
}

/// Saves the adapters of a model; `base` is what the folder calls the model that they belong to.
///
/// # Errors
/// If a file can't be written, or as for [`write()`].
pub async fn save_adapters(
    model: &Model,
    family: Option<&Family>,
    folder: &Path,
    base: Option<&str>,
) -> Result<(), PeftFormatError> {
    let (config, values) = write_adapters(model, family, base).await?;
    fs::create_dir_all(folder).map_err(file_error(folder))?;
    save_tensors(&folder.join(WEIGHTS_FILE), &InMemoryTensors::from(values))?;
    Ok(save_json(&folder.join(CONFIG_FILE), &config)?)
}
