//! Adapter folders on disk.

use super::{PeftFormatError, read_adapters, write_adapters};
use crate::files::{SafeTensorsFiles, save_json, save_tensors};
use kiln_models::{Model, hf::Family, tensors::InMemoryTensors};
use serde_json::Value;
use std::{fs, path::Path};

/// The configuration of the adapters.
pub const CONFIG_FILE: &str = "adapter_config.json";
/// The weights of the adapters.
const WEIGHTS_FILE: &str = "adapter_model.safetensors";

fn file_error<E: ToString>(file: &Path) -> impl FnOnce(E) -> PeftFormatError {
    let file = file.to_owned();
    move |error| PeftFormatError::File { file, reason: error.to_string() }
}

/// Returns the model with the adapters of a folder attached.
///
/// # Errors
/// If a file cannot be read, or as for [`read_adapters`].
pub fn load_adapters(model: &Model, family: Option<&Family>, folder: &Path) -> Result<Model, PeftFormatError> {
    let config_file = folder.join(CONFIG_FILE);
    let weights_file = folder.join(WEIGHTS_FILE);
    let json = fs::read(&config_file).map_err(file_error(&config_file))?;
    let json: Value = serde_json::from_slice(&json).map_err(file_error(&config_file))?;
    let tensors = SafeTensorsFiles::open(std::slice::from_ref(&weights_file)).map_err(file_error(&weights_file))?;
    read_adapters(model, family, &json, &tensors)
}

/// Saves the adapters of a model as a folder. `base` becomes `base_model_name_or_path`: a path or a name on the hub.
///
/// # Errors
/// If a file cannot be written, or as for [`write_adapters`].
pub async fn save_adapters(
    model: &Model,
    family: Option<&Family>,
    folder: &Path,
    base: Option<&str>,
) -> Result<(), PeftFormatError> {
    let (config, tensors) = write_adapters(model, family, base).await?;
    fs::create_dir_all(folder).map_err(file_error(folder))?;
    save_tensors(&folder.join(WEIGHTS_FILE), &InMemoryTensors::from(tensors))?;
    Ok(save_json(&folder.join(CONFIG_FILE), &config)?)
}
