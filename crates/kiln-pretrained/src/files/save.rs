//! Writes a model folder in the Hugging Face layout. Every file is written under a temporary name and renamed, so that
//! it is either complete or absent.

use super::{
    CONFIG_FILE, GENERATION_CONFIG_FILE, SAFETENSORS_FILE, SAFETENSORS_INDEX_FILE,
    atomic_write::{io_error, save_json, write_atomically},
    is_weight_file,
};
use kiln_models::{
    ModelConfig, WeightMismatch,
    hf::{self, Family},
    tensors::{TensorError, TensorInfo, TensorSource, WeightDtype, pack_tensor},
};
use kiln_spec::ValidationError;
use safetensors::{Dtype, View};
use serde_json::{Value, json};
use std::{
    borrow::Cow,
    cell::RefCell,
    collections::{BTreeMap, BTreeSet, HashMap},
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

/// Why a model cannot be saved.
#[derive(Debug, thiserror::Error)]
pub enum SaveError {
    /// No model family of Hugging Face has a counterpart for every part of the model.
    #[error("no Hugging Face model family can represent this model: {0}")]
    Config(#[from] ValidationError),
    /// The weights do not fit the configuration.
    #[error(transparent)]
    Weights(#[from] WeightMismatch),
    /// A tensor cannot be read, or has values that the data type cannot hold.
    #[error(transparent)]
    Tensor(#[from] TensorError),
    /// A file cannot be written.
    #[error("{}: {source}", file.display())]
    Io {
        /// The file.
        file: PathBuf,
        /// The system's error.
        source: io::Error,
    },
}

/// How a folder is written.
#[derive(Clone, Copy, Debug)]
pub struct SaveOptions<'a> {
    /// The `config.json` that the model was loaded with. Its family is kept, and so are keys that Kiln does not use.
    pub config_json: Option<&'a Value>,
    /// The contents of `generation_config.json`; `None` writes no such file.
    pub generation_config: Option<&'a Value>,
    /// Largest size of a weight file in bytes (default: 5 GB). Larger models are split into shards with an index.
    pub max_shard_size: usize,
    /// Data type of the weights: F32, F16 or BF16. `None` (default): each tensor keeps the type of its weights, so that a model
    /// of bf16 is saved in bf16.
    pub dtype: Option<WeightDtype>,
}

impl Default for SaveOptions<'_> {
    fn default() -> Self {
        Self { config_json: None, generation_config: None, max_shard_size: 5_000_000_000, dtype: None }
    }
}

/// Saves a model as a folder. `weights` are under Kiln's parameter names (see
/// [`ModelTensors`](kiln_models::ModelTensors)) and read one tensor at a time. Returns the family. Weights and generation
/// settings of an earlier model in the folder are removed.
///
/// # Errors
/// If no family can hold the model, the weights do not fit the configuration or the data type, or a file cannot be
/// written.
pub fn save(
    folder: &Path,
    config: &ModelConfig,
    weights: &dyn TensorSource,
    options: SaveOptions,
) -> Result<&'static Family, SaveError> {
    let (family, mut json) = hf::to_config_json(config, options.config_json)?;
    let tensors = hf::export_tensors(config, family, weights)?;
    json["dtype"] = torch_dtype(options.dtype.unwrap_or(common_dtype(tensors.entries())))?.into();
    fs::create_dir_all(folder).map_err(io_error(folder))?;
    let shards = split_into_shards(&tensors, options);
    for (name, shard) in &shards {
        write_tensors(&folder.join(name), shard)?;
    }
    if shards.len() > 1 {
        save_json(&folder.join(SAFETENSORS_INDEX_FILE), &shard_index(&shards))?;
    }
    if let Some(generation) = options.generation_config {
        save_json(&folder.join(GENERATION_CONFIG_FILE), generation)?;
    }
    save_json(&folder.join(CONFIG_FILE), &json)?;
    let shard_names: BTreeSet<&str> = shards.iter().map(|(name, _)| name.as_str()).collect();
    remove_stale_files(folder, |name| match name {
        SAFETENSORS_INDEX_FILE => shards.len() == 1,
        GENERATION_CONFIG_FILE => options.generation_config.is_none(),
        name => is_weight_file(name) && !shard_names.contains(name),
    })?;
    Ok(family)
}

/// Removes files of an earlier model, which would be read as a part of this one.
fn remove_stale_files(folder: &Path, is_stale: impl Fn(&str) -> bool) -> Result<(), SaveError> {
    for entry in fs::read_dir(folder).map_err(io_error(folder))? {
        let entry = entry.map_err(io_error(folder))?;
        if entry.file_name().to_str().is_some_and(&is_stale) {
            let file = entry.path();
            fs::remove_file(&file).map_err(io_error(&file))?;
        }
    }
    Ok(())
}

/// The type that keeps the weights of a tensor.
fn own_dtype(entry: &TensorInfo) -> WeightDtype {
    match &*entry.dtype {
        "F16" => WeightDtype::F16,
        "BF16" => WeightDtype::BF16,
        _ => WeightDtype::F32,
    }
}

/// The type of all tensors with two or more dimensions, if it is one; otherwise f32.
fn common_dtype(entries: &BTreeMap<String, TensorInfo>) -> WeightDtype {
    let mut matrices = entries.values().filter(|entry| entry.shape.len() > 1).map(own_dtype);
    let first = matrices.next().unwrap_or_default();
    if matrices.all(|dtype| dtype == first) { first } else { WeightDtype::F32 }
}

/// The value of `dtype` in `config.json`.
fn torch_dtype(dtype: WeightDtype) -> Result<&'static str, ValidationError> {
    match dtype {
        WeightDtype::F32 => Ok("float32"),
        WeightDtype::F16 => Ok("float16"),
        WeightDtype::BF16 => Ok("bfloat16"),
        WeightDtype::Q8_0 => Err(ValidationError::new("dtype", "safetensors files cannot store Q8_0")
            .with_suggestion("supported: f32, f16, bf16")),
    }
}

/// Metadata of a safetensors file. The `transformers` library refuses a file without `format`.
const SAFETENSORS_METADATA: [(&str, &str); 1] = [("format", "pt")];

/// Writes tensors as one safetensors file of f32.
///
/// # Errors
/// If a tensor cannot be read, or the file cannot be written.
pub fn save_tensors(file: &Path, tensors: &dyn TensorSource) -> Result<(), SaveError> {
    let one_file = SaveOptions { max_shard_size: usize::MAX, dtype: Some(WeightDtype::F32), ..SaveOptions::default() };
    split_into_shards(tensors, one_file).iter().try_for_each(|(_, shard)| write_tensors(file, shard))
}

fn write_tensors(file: &Path, shard: &Shard) -> Result<(), SaveError> {
    write_atomically(file, |temporary| write_shard(file, temporary, shard), io_error(file))
}

/// Writes a shard to the path `temporary` of the later `file`.
fn write_shard(file: &Path, temporary: &Path, shard: &Shard) -> Result<(), SaveError> {
    let metadata = HashMap::from(SAFETENSORS_METADATA.map(|(key, value)| (key.to_owned(), value.to_owned())));
    // The library creates a file that only its owner can read. A plain file has the permissions that the user expects.
    let plain = File::create(temporary).and_then(|plain| plain.metadata()).map_err(io_error(file))?;
    let written = safetensors::serialize_to_file(shard, Some(metadata), temporary);
    if let Some(error) = shard.values().find_map(|pending| pending.error.take()) {
        return Err(SaveError::Tensor(error));
    }
    let written = written.map_err(io::Error::other);
    let written = written.and_then(|()| fs::set_permissions(temporary, plain.permissions()));
    written.and_then(|()| File::open(temporary)?.sync_all()).map_err(io_error(file))
}

/// The tensors of one file, by name.
type Shard<'a> = BTreeMap<&'a str, PendingTensor<'a>>;

/// Splits tensors, in the order of their names, into files of at most `max_shard_size` bytes each, at least one tensor a
/// file. Returns pairs of file name and tensors.
fn split_into_shards<'a>(tensors: &'a dyn TensorSource, options: SaveOptions) -> Vec<(String, Shard<'a>)> {
    let mut shards = vec![Shard::new()];
    let mut shard_size = 0;
    for (name, entry) in tensors.entries() {
        let dtype = options.dtype.unwrap_or(own_dtype(entry));
        let pending = PendingTensor { tensors, name, entry, dtype, error: RefCell::default() };
        let size = (&pending).data_len();
        if shard_size + size > options.max_shard_size && shard_size > 0 {
            shards.push(Shard::new());
            shard_size = 0;
        }
        shard_size += size;
        shards.last_mut().expect("there is a first").insert(name, pending);
    }
    let count = shards.len();
    shards.into_iter().enumerate().map(|(index, shard)| (shard_name(index, count), shard)).collect()
}

/// The file name of shard `index` (from 0) of `count`.
fn shard_name(index: usize, count: usize) -> String {
    if count == 1 {
        return SAFETENSORS_FILE.into();
    }
    format!("model-{:05}-of-{count:05}.safetensors", index + 1)
}

/// The contents of [`SAFETENSORS_INDEX_FILE`].
fn shard_index(shards: &[(String, Shard)]) -> Value {
    let total: usize = shards.iter().flat_map(|(_, shard)| shard.values()).map(|pending| pending.data_len()).sum();
    let map: BTreeMap<&str, &str> =
        shards.iter().flat_map(|(file, shard)| shard.keys().map(move |name| (*name, file.as_str()))).collect();
    json!({ "metadata": { "total_size": total }, "weight_map": map })
}

/// A tensor that is read when the safetensors library asks for its bytes. The library's trait has no errors, so an
/// error is stored here and the bytes are empty.
struct PendingTensor<'a> {
    tensors: &'a dyn TensorSource,
    name: &'a str,
    entry: &'a TensorInfo,
    dtype: WeightDtype,
    error: RefCell<Option<TensorError>>,
}

impl View for &PendingTensor<'_> {
    fn dtype(&self) -> Dtype {
        match self.dtype {
            WeightDtype::F16 => Dtype::F16,
            WeightDtype::BF16 => Dtype::BF16,
            WeightDtype::F32 | WeightDtype::Q8_0 => Dtype::F32,
        }
    }

    fn shape(&self) -> &[usize] {
        &self.entry.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        let read = self.tensors.read_stored(self.name);
        let bytes = read.and_then(|data| pack_tensor(self.dtype.packing(), self.name, data.into_values()));
        Cow::Owned(bytes.unwrap_or_else(|error| {
            self.error.replace(Some(error));
            Vec::new()
        }))
    }

    fn data_len(&self) -> usize {
        self.entry.shape.iter().product::<usize>() * self.dtype.packing().block_bytes
    }
}
