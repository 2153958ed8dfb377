//! Writing a folder: every file appears whole or not at all.

use super::{
    CONFIG, GENERATION, INDEX, WEIGHTS,
    shards::{Shard, index, shards},
};
use crate::{
    config::ModelConfig,
    hf::{self, Family},
    names::Mismatch,
    tensors::{Numbers, TensorError, Tensors},
};
use kiln_spec::Refusal;
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
    Config(#[from] Refusal),
    /// The weights aren't the model's alone.
    #[error(transparent)]
    Weights(#[from] Mismatch),
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
pub struct Layout<'a> {
    /// The configuration that the model came with: its family is kept, and what Kiln has no use for.
    pub config_json: Option<&'a Value>,
    /// Written beside it as `generation_config.json`.
    pub generation: Option<&'a Value>,
    /// More bytes of weights than this go into several files.
    pub shard: usize,
    /// How the weights are stored: as floats.
    pub numbers: Numbers,
}

impl Default for Layout<'_> {
    fn default() -> Self {
        Self { config_json: None, generation: None, shard: 5_000_000_000, numbers: Numbers::F32 }
    }
}

/// Saves a model: `weights` by Kiln's names, see [`Reader`](crate::Reader), one tensor after the other. Returns the
/// family.
///
/// # Errors
/// If no family can hold it, the weights aren't the model's or can't be stored so, or a file can't be written.
pub fn save(
    folder: &Path,
    config: &ModelConfig,
    weights: &dyn Tensors,
    layout: Layout,
) -> Result<&'static Family, SaveError> {
    let (family, mut json) = hf::described(config, layout.config_json)?;
    json["dtype"] = dtype(layout.numbers)?.into();
    let tensors = hf::disassemble(config, family, weights)?;
    fs::create_dir_all(folder).map_err(failed(folder))?;
    let files = shards(&tensors, layout);
    for (name, views) in &files {
        write_tensors(&folder.join(name), views)?;
    }
    if files.len() > 1 {
        save_json(&folder.join(INDEX), &index(&files))?;
    }
    if let Some(generation) = layout.generation {
        save_json(&folder.join(GENERATION), generation)?;
    }
    save_json(&folder.join(CONFIG), &json)?;
    // The other layout, of a model that stood here before, would be taken for this one's.
    let stale = folder.join(if files.len() > 1 { WEIGHTS } else { INDEX });
    if stale.exists() {
        fs::remove_file(&stale).map_err(failed(&stale))?;
    }
    Ok(family)
}

/// What `config.json` calls these numbers.
fn dtype(numbers: Numbers) -> Result<&'static str, Refusal> {
    match numbers {
        Numbers::F32 => Ok("float32"),
        Numbers::F16 => Ok("float16"),
        Numbers::BF16 => Ok("bfloat16"),
        Numbers::Q8_0 => Err(Refusal::new("numbers", "safetensors have no Q8_0").instead("f32, f16 or bf16")),
    }
}

/// What the reference code looks for before it reads a file.
const FORMAT: [(&str, &str); 1] = [("format", "pt")];

/// Writes named tensors as one file, which appears whole or not at all.
///
/// # Errors
/// If one can't be read, or the file can't be written.
pub fn save_tensors(file: &Path, tensors: &dyn Tensors) -> Result<(), SaveError> {
    let one = Layout { shard: usize::MAX, ..Layout::default() };
    shards(tensors, one).iter().try_for_each(|(_, views)| write_tensors(file, views))
}

fn write_tensors(file: &Path, tensors: &Shard) -> Result<(), SaveError> {
    let write = |temporary: &Path| {
        let about = HashMap::from(FORMAT.map(|(key, value)| (key.to_owned(), value.to_owned())));
        // The library makes a file for its owner alone; others may read this one as any other file.
        let permissions =
            File::create(temporary).and_then(|plain| plain.metadata()).map_err(failed(file))?.permissions();
        let written = safetensors::serialize_to_file(tensors, Some(about), temporary);
        if let Some(error) = tensors.values().find_map(|pending| pending.error.take()) {
            return Err(SaveError::Tensor(error));
        }
        let written = written.map_err(io::Error::other).and_then(|()| fs::set_permissions(temporary, permissions));
        let synced = written.and_then(|()| File::open(temporary)?.sync_all());
        synced.map_err(failed(file))
    };
    whole(file, write, failed(file))
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
    whole(file, |temporary| write(temporary).map_err(failed(file)), failed(file))
}

/// Writes beside the place and renames.
pub(super) fn whole<E>(
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

fn failed(file: &Path) -> impl FnOnce(io::Error) -> SaveError {
    let file = file.to_owned();
    move |source| SaveError::Io { file, source }
}
