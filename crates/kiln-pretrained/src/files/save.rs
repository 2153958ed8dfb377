//! Writing a folder: every file appears whole or not at all.

use super::{
    CONFIG_FILE, GENERATION_CONFIG_FILE, SAFETENSORS_FILE, SAFETENSORS_INDEX_FILE,
    shards::{Shard, shard_index, split_into_shards},
};
use kiln_models::{
    config::ModelConfig,
    hf::{self, Family},
    parameters::WeightMismatch,
    tensors::{TensorError, TensorSource, WeightDtype},
};
use kiln_spec::ValidationError;
use serde_json::Value;
use std::{
    collections::HashMap,
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

/// Why a model can't be saved.
#[derive(Debug, thiserror::Error)]
pub enum SaveError {
    /// No family has a counterpart for all of it.
    #[error("no family can hold this model: {0}")]
    Config(#[from] ValidationError),
    /// The weights aren't the model's alone.
    #[error(transparent)]
    Weights(#[from] WeightMismatch),
    /// A tensor can't be read, or not be stored so.
    #[error(transparent)]
    Tensor(#[from] TensorError),
    /// A file can't be written.
    #[error("{}: {source}", file.display())]
    Io {
        /// The file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// How a folder is laid out.
#[derive(Clone, Copy, Debug)]
pub struct SaveOptions<'a> {
    /// The configuration that the model came with: its family is kept, and what Kiln has no use for.
    pub config_json: Option<&'a Value>,
    /// Written beside it as `generation_config.json`.
    pub generation_config: Option<&'a Value>,
    /// More bytes of weights than this go into several files.
    pub max_shard_size: usize,
    /// How the weights are stored: as floats.
    pub dtype: WeightDtype,
}

impl Default for SaveOptions<'_> {
    fn default() -> Self {
        Self { config_json: None, generation_config: None, max_shard_size: 5_000_000_000, dtype: WeightDtype::F32 }
    }
}

/// Saves a model: `weights` by Kiln's names, see [`ModelTensors`](kiln_models::ModelTensors), one tensor after the other. Returns the
/// family.
///
/// # Errors
/// If no family can hold it, the weights aren't the model's or can't be stored so, or a file can't be written.
pub fn save(
    folder: &Path,
    config: &ModelConfig,
    weights: &dyn TensorSource,
    layout: SaveOptions,
) -> Result<&'static Family, SaveError> {
    let (family, mut json) = hf::to_config_json(config, layout.config_json)?;
    json["dtype"] = torch_dtype(layout.dtype)?.into();
    let tensors = hf::export_tensors(config, family, weights)?;
    fs::create_dir_all(folder).map_err(io_error(folder))?;
    let files = split_into_shards(&tensors, layout);
    for (name, views) in &files {
        write_tensors(&folder.join(name), views)?;
    }
    if files.len() > 1 {
        save_json(&folder.join(SAFETENSORS_INDEX_FILE), &shard_index(&files))?;
    }
    if let Some(generation) = layout.generation_config {
        save_json(&folder.join(GENERATION_CONFIG_FILE), generation)?;
    }
    save_json(&folder.join(CONFIG_FILE), &json)?;
    // The other layout, of a model that stood here before, would be taken for this one's.
    let stale = folder.join(if files.len() > 1 { SAFETENSORS_FILE } else { SAFETENSORS_INDEX_FILE });
    if stale.exists() {
        fs::remove_file(&stale).map_err(io_error(&stale))?;
    }
    Ok(family)
}

/// What `config.json` calls these numbers.
fn torch_dtype(numbers: WeightDtype) -> Result<&'static str, ValidationError> {
    match numbers {
        WeightDtype::F32 => Ok("float32"),
        WeightDtype::F16 => Ok("float16"),
        WeightDtype::BF16 => Ok("bfloat16"),
        WeightDtype::Q8_0 => {
            Err(ValidationError::new("numbers", "safetensors have no Q8_0").with_suggestion("f32, f16 or bf16"))
        }
    }
}

/// What the reference code looks for before it reads a file.
const SAFETENSORS_METADATA: [(&str, &str); 1] = [("format", "pt")];

/// Writes named tensors as one file, which appears whole or not at all.
///
/// # Errors
/// If one can't be read, or the file can't be written.
pub fn save_tensors(file: &Path, tensors: &dyn TensorSource) -> Result<(), SaveError> {
    let one = SaveOptions { max_shard_size: usize::MAX, ..SaveOptions::default() };
    split_into_shards(tensors, one).iter().try_for_each(|(_, views)| write_tensors(file, views))
}

fn write_tensors(file: &Path, tensors: &Shard) -> Result<(), SaveError> {
    let write = |temporary: &Path| {
        let about = HashMap::from(SAFETENSORS_METADATA.map(|(key, value)| (key.to_owned(), value.to_owned())));
        // The library makes a file for its owner alone; others may read this one as any other file.
        let permissions =
            File::create(temporary).and_then(|plain| plain.metadata()).map_err(io_error(file))?.permissions();
        let written = safetensors::serialize_to_file(tensors, Some(about), temporary);
        if let Some(error) = tensors.values().find_map(|pending| pending.error.take()) {
            return Err(SaveError::Tensor(error));
        }
        let written = written.map_err(io::Error::other).and_then(|()| fs::set_permissions(temporary, permissions));
        let synced = written.and_then(|()| File::open(temporary)?.sync_all());
        synced.map_err(io_error(file))
    };
    write_atomically(file, write, io_error(file))
}

/// Writes JSON as one file, which appears whole or not at all.
///
/// # Errors
/// If it can't be written.
pub fn save_json(file: &Path, json: &Value) -> Result<(), SaveError> {
    let write = |temporary: &Path| {
        let mut written = File::create(temporary)?;
        written.write_all(format!("{json:#}\n").as_bytes())?;
        written.sync_all()
    };
    write_atomically(file, |temporary| write(temporary).map_err(io_error(file)), io_error(file))
}

/// Writes beside the place and renames.
pub(super) fn write_atomically<E>(
    file: &Path,
    write: impl FnOnce(&Path) -> Result<(), E>,
    stuck: impl FnOnce(io::Error) -> E,
) -> Result<(), E> {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let temporary = file.with_file_name(format!(".tmp-{name}-{}", std::process::id()));
    let written = write(&temporary).and_then(|()| fs::rename(&temporary, file).map_err(stuck));
    if written.is_err() {
        // Nothing is left to remove if it was never made.
        let _ = fs::remove_file(&temporary);
    }
    written
}

fn io_error(file: &Path) -> impl FnOnce(io::Error) -> SaveError {
    let file = file.to_owned();
    move |source| SaveError::Io { file, source }
}
