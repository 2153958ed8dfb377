//! Adapter folders on disk.

use super::{FolderError, read, write};
use burn::tensor::DType;
use kiln_models::{Model, files::SafeTensorsFiles};
use safetensors::{
    Dtype,
    tensor::{TensorView, serialize},
};
use serde_json::Value;
use std::{fs, path::Path};

/// What the adapters are.
const CONFIG: &str = "adapter_config.json";
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
pub fn load(model: &Model, folder: &Path) -> Result<Model, FolderError> {
    let (config, weights) = (folder.join(CONFIG), folder.join(WEIGHTS));
    let json = fs::read(&config).map_err(failed(&config))?;
    let json: Value = serde_json::from_slice(&json).map_err(failed(&config))?;
    let tensors = SafeTensorsFiles::open(std::slice::from_ref(&weights)).map_err(failed(&weights))?;
    read(model, &json, &tensors)
}

/// Saves the adapters of a model; `base` is what the folder calls the model that they belong to.
///
/// # Errors
/// If a file can't be written, or as for [`write()`].
pub async fn save(model: &Model, folder: &Path, base: Option<&str>) -> Result<(), FolderError> {
    let (config, values) = write(model, base).await?;
    let views = values.iter().map(|(name, data)| {
        debug_assert_eq!(data.dtype(), DType::F32);
        Ok((name, TensorView::new(Dtype::F32, data.shape().to_vec(), data.as_bytes())?))
    });
    let (config_file, weights) = (folder.join(CONFIG), folder.join(WEIGHTS));
    let views = views.collect::<Result<Vec<_>, safetensors::SafeTensorError>>().map_err(failed(&weights))?;
    let about = [("format".to_owned(), "pt".to_owned())].into_iter().collect();
    let bytes = serialize(views, Some(about)).map_err(failed(&weights))?;
    fs::create_dir_all(folder).map_err(failed(folder))?;
    fs::write(&weights, bytes).map_err(failed(&weights))?;
    let text = serde_json::to_string_pretty(&config).map_err(failed(&config_file))?;
    fs::write(&config_file, text + "\n").map_err(failed(&config_file))
}
