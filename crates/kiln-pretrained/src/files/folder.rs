//! A model folder in the Hugging Face layout: `config.json` with safetensors or PyTorch weights, one file or several.

use super::{
    CONFIG_FILE, GENERATION_CONFIG_FILE, LoadError, ModelFiles, PYTORCH_FILE, SAFETENSORS_FILE, SAFETENSORS_INDEX_FILE,
    SafeTensorsFiles, WEIGHT_FILES,
};
use crate::{
    PretrainedModel,
    pickle::{PickleFile, PickleFiles},
};
use burn::tensor::Device;
use kiln_data::non_finite::replace_non_finite;
use kiln_models::{
    ModelConfig, WeightPrecision,
    hf::{self, Family, quantized::QuantizedError},
    tensors::TensorSource,
};
use serde_json::{Map, Value};
use std::{
    collections::BTreeSet,
    path::{Component, Path, PathBuf},
};

/// An opened model folder, on disk or in memory: its configuration is read, its weights are not.
///
/// Weights come from the first of [`WEIGHT_FILES`] that the folder has.
pub struct ModelFolder<'a> {
    folder: PathBuf,
    config_file: PathBuf,
    /// `config.json`. Where the weights alone decide an option (T5's tied head), the option is set from them.
    pub config_json: Value,
    /// `generation_config.json`, if the folder has one.
    pub generation_config: Option<Value>,
    tensors: Box<dyn TensorSource + 'a>,
}

/// Loads the model of a folder on disk, without its tokenizer.
///
/// # Errors
/// If a file is missing or broken, a file name leads out of the folder, the family or an option of it is not supported,
/// or the weights do not fit the configuration.
#[cfg(feature = "files")]
pub fn load(path: &Path, device: &Device) -> Result<PretrainedModel, LoadError> {
    ModelFolder::open(path)?.load(device)
}

impl ModelFolder<'static> {
    /// Opens a folder on disk.
    ///
    /// # Errors
    /// If a file is missing or broken, or a file name leads out of the folder.
    #[cfg(feature = "files")]
    pub fn open(path: &Path) -> Result<Self, LoadError> {
        Self::from_files(path)
    }
}

impl<'a> ModelFolder<'a> {
    /// Opens a set of files, on disk or in memory.
    ///
    /// # Errors
    /// If a file is missing or broken, a file name leads out of the folder, or the weights are quantized in a way that Kiln does
    /// not read.
    pub fn from_files<F: ModelFiles<Bytes: 'a> + ?Sized>(files: &F) -> Result<Self, LoadError> {
        let mut config_json = read_json(files, CONFIG_FILE)?.ok_or_else(|| missing_file(files, CONFIG_FILE))?;
        let generation_config = read_json(files, GENERATION_CONFIG_FILE)?;
        let tensors = open_logical(files, &config_json)?;
        hf::t5::resolve_tied_embeddings(&mut config_json, &*tensors);
        Ok(Self {
            folder: files.folder(),
            config_file: files.location(CONFIG_FILE),
            config_json,
            generation_config,
            tensors,
        })
    }

    /// The tensors of the weights, under the names of the files. Those of quantized weights are shown as the tensors that they
    /// stand for.
    pub fn tensors(&self) -> &dyn TensorSource {
        &*self.tensors
    }

    /// Returns the model's family and its configuration. What `config.json` says without effect is logged as a warning.
    ///
    /// # Errors
    /// If the family or an option of it is not supported.
    pub fn config(&self) -> Result<(&'static Family, ModelConfig), LoadError> {
        let (family, config, warnings) = hf::read_config_with_warnings(&self.config_json)
            .map_err(|error| LoadError::Config { file: self.config_file.clone(), error })?;
        for warning in warnings {
            log::warn!("{}: {warning}", self.config_file.display());
        }
        Ok((family, config))
    }

    /// Loads the weights onto `device`, one tensor at a time.
    ///
    /// # Errors
    /// If the configuration is not supported, or the weights do not fit it.
    pub fn load(self, device: &Device) -> Result<PretrainedModel, LoadError> {
        self.load_as(device, WeightPrecision::default_on(device))
    }

    /// Loads the weights onto `device`, held as `precision` says, one tensor at a time.
    ///
    /// # Errors
    /// As [`load`](Self::load), and if a value can't be represented in the type.
    pub fn load_as(self, device: &Device, precision: WeightPrecision) -> Result<PretrainedModel, LoadError> {
        let (family, config) = self.config()?;
        let model = hf::load_model_as(&config, family, self.tensors(), device, precision)
            .map_err(|source| LoadError::Weights { folder: self.folder, source })?;
        Ok(PretrainedModel { model, family, config_json: self.config_json, generation_config: self.generation_config })
    }
}

/// Opens the weights. Those that `config_json` says are quantized are shown as the tensors that they stand for.
fn open_logical<'a, F>(files: &F, config_json: &Value) -> Result<Box<dyn TensorSource + 'a>, LoadError>
where
    F: ModelFiles<Bytes: 'a> + ?Sized,
{
    hf::quantized::open(config_json, open_weights(files)?).map_err(|error| match error {
        QuantizedError::Config(error) => LoadError::Config { file: files.location(CONFIG_FILE), error },
        QuantizedError::Tensor(error) => LoadError::Weights { folder: files.folder(), source: error.into() },
    })
}

/// Opens the weights: safetensors before PyTorch files, one file before several.
fn open_weights<'a, F>(files: &F) -> Result<Box<dyn TensorSource + 'a>, LoadError>
where
    F: ModelFiles<Bytes: 'a> + ?Sized,
{
    for name in WEIGHT_FILES {
        let Some(bytes) = files.open(name)? else { continue };
        let location = files.location(name);
        return Ok(match name {
            SAFETENSORS_FILE => Box::new(SafeTensorsFiles::from_bytes([(location, bytes)])?),
            SAFETENSORS_INDEX_FILE => open_sharded(files, name, SafeTensorsFiles::from_bytes)?,
            PYTORCH_FILE => Box::new(open_pickle_bytes(&location, bytes)?),
            _ => open_sharded(files, name, open_pickles)?,
        });
    }
    Err(LoadError::NoWeights { folder: files.folder() })
}

/// Opens a file that `torch.save` wrote.
///
/// # Errors
/// If the file cannot be read, or asks for more than tensors and plain data.
#[cfg(feature = "files")]
pub fn open_pickle(path: &Path) -> Result<PickleFile<super::MappedFile>, LoadError> {
    open_pickle_bytes(path, super::MappedFile::open(path).map_err(LoadError::io(path))?)
}

fn open_pickle_bytes<B: AsRef<[u8]>>(location: &Path, bytes: B) -> Result<PickleFile<B>, LoadError> {
    PickleFile::open(bytes).map_err(|source| LoadError::Pickle { file: location.into(), source })
}

fn open_pickles<B: AsRef<[u8]>>(shards: Vec<(PathBuf, B)>) -> Result<PickleFiles<B>, LoadError> {
    let first = shards.first().map(|(location, _)| location.clone()).unwrap_or_default();
    let opened = shards.into_iter().map(|(location, bytes)| open_pickle_bytes(&location, bytes));
    let opened = opened.collect::<Result<Vec<_>, _>>()?;
    PickleFiles::new(opened).map_err(|error| LoadError::Broken { file: first, reason: error.to_string() })
}

/// Opens the shards that the index file `index` lists under `weight_map` (tensor name → file name).
fn open_sharded<'a, F, T>(
    files: &F,
    index: &str,
    open: impl FnOnce(Vec<(PathBuf, F::Bytes)>) -> Result<T, LoadError>,
) -> Result<Box<dyn TensorSource + 'a>, LoadError>
where
    F: ModelFiles + ?Sized,
    T: TensorSource + 'a,
{
    let file = files.location(index);
    let broken = |reason: String| LoadError::Broken { file: file.clone(), reason };
    let json = read_json(files, index)?.unwrap_or_default();
    let weight_map: &Map<String, Value> = json
        .get("weight_map")
        .and_then(Value::as_object)
        .ok_or_else(|| broken("expected an object `weight_map`".into()))?;
    let mut shard_names = BTreeSet::new();
    for (tensor, shard) in weight_map {
        let name = shard.as_str();
        shard_names
            .insert(name.ok_or_else(|| broken(format!("weight_map.{tensor}: expected a file name, found {shard}")))?);
    }
    let mut shards = Vec::new();
    for name in shard_names {
        if !is_file_name(name) {
            return Err(LoadError::OutsideFolder { folder: files.folder(), name: name.into() });
        }
        let bytes = files.open(name)?.ok_or_else(|| missing_file(files, name))?;
        shards.push((files.location(name), bytes));
    }
    let tensors = open(shards)?;
    match weight_map.keys().find(|name| !tensors.entries().contains_key(*name)) {
        Some(name) => Err(broken(format!("the tensor `{name}` is in none of the listed files"))),
        None => Ok(Box::new(tensors)),
    }
}

/// Whether a name is a single plain component of a path: a file of the folder itself, not of one below or outside of it.
pub(super) fn is_file_name(name: &str) -> bool {
    let mut components = Path::new(name).components();
    let is_plain = matches!((components.next(), components.next()), (Some(Component::Normal(_)), None));
    is_plain && !name.contains(['/', '\\'])
}

/// Byte order mark, with which editors of Windows begin a file.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// Reads the JSON file `name`; `None` if there is no such file. A byte order mark is skipped. Infinity and NaN, as Python writes
/// them, become `{ "__float__": "Infinity" }`, as newer files of transformers write them.
pub(crate) fn read_json<F: ModelFiles + ?Sized>(files: &F, name: &str) -> Result<Option<Value>, LoadError> {
    let Some(bytes) = files.open(name)? else { return Ok(None) };
    let bytes = bytes.as_ref();
    let text = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
    let json = serde_json::from_slice(text).or_else(|error| {
        let tagged = |word: &str| format!(r#"{{"__float__":"{word}"}}"#);
        let finite = std::str::from_utf8(text).ok().and_then(|text| replace_non_finite(text, tagged));
        finite.and_then(|finite| serde_json::from_str(&finite).ok()).ok_or(error)
    });
    Ok(Some(json.map_err(LoadError::broken(files.location(name), "JSON"))?))
}

fn missing_file<F: ModelFiles + ?Sized>(files: &F, name: &str) -> LoadError {
    let error = std::io::Error::new(std::io::ErrorKind::NotFound, "file not found");
    LoadError::Io { file: files.location(name), source: error }
}
