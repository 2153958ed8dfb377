//! A folder with a model.

use super::{
    CONFIG_FILE, GENERATION_CONFIG_FILE, LoadError, MappedFile, PYTORCH_FILE, SAFETENSORS_FILE, SAFETENSORS_INDEX_FILE,
    SafeTensorsFiles, WEIGHT_FILES,
};
use crate::pickle::{PickleFile, PickleFiles};
use burn::tensor::Device;
use kiln_models::{
    config::ModelConfig,
    hf::{self, Family},
    model::Model,
    tensors::TensorSource,
};
use serde_json::{Map as Object, Value};
use std::{
    collections::BTreeSet,
    fs,
    path::{Component, Path, PathBuf},
};

/// A model, and what its folder says of it.
#[derive(Debug)]
pub struct LoadedModel {
    /// The model.
    pub model: Model,
    /// Its family.
    pub family: &'static Family,
    /// `config.json` as it is.
    pub config_json: Value,
    /// `generation_config.json`, if there is one.
    pub generation_config: Option<Value>,
}

/// Loads the model of a folder.
///
/// # Errors
/// If a file is missing, broken or leads out of the folder, the family or an option of it is unknown, or the weights
/// aren't the model's.
pub fn load(path: &Path, device: &Device) -> Result<LoadedModel, LoadError> {
    ModelFolder::open(path)?.load(device)
}

/// An opened folder: its configuration is read, its weights are not.
pub struct ModelFolder {
    path: PathBuf,
    /// `config.json`, settled where the weights alone say what holds.
    pub config_json: Value,
    /// `generation_config.json`, if there is one.
    pub generation_config: Option<Value>,
    tensors: Box<dyn TensorSource>,
}

impl ModelFolder {
    /// Opens a folder.
    ///
    /// # Errors
    /// If a file is missing, broken or leads out of the folder.
    pub fn open(path: &Path) -> Result<Self, LoadError> {
        let mut config_json = read_json(&path_in_folder(path, CONFIG_FILE)?)?;
        let generation = match path.join(GENERATION_CONFIG_FILE).exists() {
            true => Some(read_json(&path_in_folder(path, GENERATION_CONFIG_FILE)?)?),
            false => None,
        };
        let tensors = open_weights(path)?;
        hf::t5::resolve_tied_embeddings(&mut config_json, &*tensors);
        Ok(Self { path: path.into(), config_json, generation_config: generation, tensors })
    }

    /// The tensors of the weights.
    pub fn tensors(&self) -> &dyn TensorSource {
        &*self.tensors
    }

    /// The family and what the model is.
    ///
    /// # Errors
    /// If the family or an option of it is unknown.
    pub fn config(&self) -> Result<(&'static Family, ModelConfig), LoadError> {
        let file = self.path.join(CONFIG_FILE);
        hf::read_config(&self.config_json).map_err(|refusal| LoadError::Config { file, error: refusal })
    }

    /// The model.
    ///
    /// # Errors
    /// If Kiln doesn't know it, or the weights aren't the model's.
    pub fn load(self, device: &Device) -> Result<LoadedModel, LoadError> {
        let (family, config) = self.config()?;
        let model = hf::load_model(&config, family, self.tensors(), device)
            .map_err(|source| LoadError::Weights { folder: self.path, source })?;
        Ok(LoadedModel { model, family, config_json: self.config_json, generation_config: self.generation_config })
    }
}

/// Safetensors before pickles, one file before several.
fn open_weights(folder: &Path) -> Result<Box<dyn TensorSource>, LoadError> {
    let there = WEIGHT_FILES.into_iter().find(|name| folder.join(name).exists());
    Ok(match there {
        Some(SAFETENSORS_FILE) => Box::new(SafeTensorsFiles::open(&[path_in_folder(folder, SAFETENSORS_FILE)?])?),
        Some(SAFETENSORS_INDEX_FILE) => open_sharded(folder, SAFETENSORS_INDEX_FILE, SafeTensorsFiles::open)?,
        Some(PYTORCH_FILE) => Box::new(open_pickle(&path_in_folder(folder, PYTORCH_FILE)?)?),
        Some(index) => open_sharded(folder, index, open_pickles)?,
        None => return Err(LoadError::NoWeights { folder: folder.into() }),
    })
}

/// A file that `torch.save` wrote.
///
/// # Errors
/// If it can't be read, or asks for more than tensors.
pub fn open_pickle(file: &Path) -> Result<PickleFile<MappedFile>, LoadError> {
    let pickle = PickleFile::open(MappedFile::open(file).map_err(LoadError::io(file))?);
    pickle.map_err(|source| LoadError::Pickle { file: file.into(), source })
}

fn open_pickles(files: &[PathBuf]) -> Result<PickleFiles<MappedFile>, LoadError> {
    let opened = files.iter().map(|file| open_pickle(file)).collect::<Result<_, _>>()?;
    PickleFiles::new(opened).map_err(|error| LoadError::Broken { file: files[0].clone(), reason: error.to_string() })
}

/// The files that an index names.
fn open_sharded<T: TensorSource + 'static>(
    folder: &Path,
    index: &str,
    open: impl FnOnce(&[PathBuf]) -> Result<T, LoadError>,
) -> Result<Box<dyn TensorSource>, LoadError> {
    let path = path_in_folder(folder, index)?;
    let index = read_json(&path)?;
    let broken = |reason: String| LoadError::Broken { file: path.clone(), reason };
    let map = index.get("weight_map").and_then(Value::as_object);
    let map: &Object<String, Value> = map.ok_or_else(|| broken("an object `weight_map` was expected".into()))?;
    let mut names = BTreeSet::new();
    for (tensor, file) in map {
        names.insert(file.as_str().ok_or_else(|| broken(format!("`{tensor}` is in {file}, which is no name")))?);
    }
    let files = names.into_iter().map(|name| path_in_folder(folder, name)).collect::<Result<Vec<_>, _>>()?;
    let tensors = open(&files)?;
    match map.keys().find(|name| !tensors.entries().contains_key(*name)) {
        Some(name) => Err(broken(format!("`{name}` is in none of the files that are named"))),
        None => Ok(Box::new(tensors)),
    }
}

/// The path of a file of this folder. Links are followed within the folder alone, or from a snapshot of the hub's cache
/// to its blobs.
pub(super) fn path_in_folder(folder: &Path, name: &str) -> Result<PathBuf, LoadError> {
    let outside = || LoadError::OutsideFolder { folder: folder.into(), name: name.into() };
    let mut parts = Path::new(name).components();
    let (Some(Component::Normal(_)), None) = (parts.next(), parts.next()) else { return Err(outside()) };
    let path = folder.join(name);
    let real = path.canonicalize().map_err(LoadError::io(&path))?;
    let home = folder.canonicalize().map_err(LoadError::io(folder))?;
    let snapshots = home.parent().filter(|parent| parent.ends_with("snapshots"));
    let blobs = snapshots.and_then(Path::parent).map(|cache| cache.join("blobs"));
    let lies_in = real.parent();
    if lies_in == Some(&home) || lies_in.is_some() && lies_in == blobs.as_deref() { Ok(path) } else { Err(outside()) }
}

fn read_json(file: &Path) -> Result<Value, LoadError> {
    let text = fs::read(file).map_err(LoadError::io(file))?;
    serde_json::from_slice(&text).map_err(LoadError::broken(file, "JSON"))
}
