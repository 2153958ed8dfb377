//! Adapter folders on disk.

use super::{
    AdapterExport, CONFIG_FILE, PeftFormatError, read_adapters, read_named_adapters, write_adapters,
    write_adapters_with,
};
use crate::files::{LoadError, SafeTensorsFiles, open_pickle, save_json, save_tensors};
use kiln_models::{
    Model, StateDict,
    hf::Family,
    tensors::{InMemoryTensors, TensorSource},
};
use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Weights of the adapters as safetensors.
const SAFETENSORS_FILE: &str = "adapter_model.safetensors";
/// Weights of the adapters as `torch.save` writes them.
const PYTORCH_FILE: &str = "adapter_model.bin";
/// File names of weights, in the order in which they are looked for.
pub const WEIGHT_FILES: [&str; 2] = [SAFETENSORS_FILE, PYTORCH_FILE];

fn file_error<E: ToString>(file: &Path) -> impl FnOnce(E) -> PeftFormatError {
    let file = file.to_owned();
    move |error| PeftFormatError::File { file, reason: error.to_string() }
}

/// Returns the model with the adapters of a folder attached.
///
/// # Errors
/// If a file cannot be read, or as for [`read_adapters`].
pub fn load_adapters(model: &Model, family: Option<&Family>, folder: &Path) -> Result<Model, PeftFormatError> {
    read_adapters(model, family, &read_config(folder)?, &*open_weights(folder)?)
}

/// Returns the model with the adapters of a folder under a name, besides those that it has.
///
/// # Errors
/// If a file cannot be read, or as for [`read_named_adapters`].
pub fn load_named_adapters(
    model: &Model,
    family: Option<&Family>,
    folder: &Path,
    name: &str,
) -> Result<Model, PeftFormatError> {
    read_named_adapters(model, family, &read_config(folder)?, &*open_weights(folder)?, name)
}

/// Reads the configuration of a folder.
fn read_config(folder: &Path) -> Result<Value, PeftFormatError> {
    let config_file = folder.join(CONFIG_FILE);
    let json = fs::read(&config_file).map_err(file_error(&config_file))?;
    serde_json::from_slice(&json).map_err(file_error(&config_file))
}

/// Opens the weight file of a folder.
fn open_weights(folder: &Path) -> Result<Box<dyn TensorSource>, PeftFormatError> {
    let paths = WEIGHT_FILES.map(|name| folder.join(name));
    let opened: Result<Box<dyn TensorSource>, LoadError> = match paths.iter().find(|path| path.is_file()) {
        Some(path) if path.ends_with(PYTORCH_FILE) => open_pickle(path).map(|file| Box::new(file) as _),
        Some(path) => SafeTensorsFiles::open(&[PathBuf::from(path)]).map(|file| Box::new(file) as _),
        None => {
            let reason = format!("no weights found; expected {SAFETENSORS_FILE} or {PYTORCH_FILE}");
            return Err(PeftFormatError::File { file: folder.into(), reason });
        }
    };
    opened.map_err(|error| PeftFormatError::Weights(Box::new(error)))
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
    write_folder(folder, write_adapters(model, family, base).await?)
}

/// Saves adapters of a model as a folder. Otherwise as [`save_adapters`].
///
/// # Errors
/// If a file cannot be written, or as for [`write_adapters_with`].
pub async fn save_adapters_with(
    model: &Model,
    folder: &Path,
    export: &AdapterExport<'_>,
) -> Result<(), PeftFormatError> {
    write_folder(folder, write_adapters_with(model, export).await?)
}

/// Writes the two files of a folder.
fn write_folder(folder: &Path, (config, tensors): (Value, StateDict)) -> Result<(), PeftFormatError> {
    fs::create_dir_all(folder).map_err(file_error(folder))?;
    save_tensors(&folder.join(SAFETENSORS_FILE), &InMemoryTensors::from(tensors))?;
    Ok(save_json(&folder.join(CONFIG_FILE), &config)?)
}
