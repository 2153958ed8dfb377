//! Writing a folder: every file appears whole or not at all.

use super::{CONFIG, GENERATION, INDEX, WEIGHTS};
use crate::{
    config::ModelConfig,
    hf::{self, Family, fields::is_harmless},
    names::{Mismatch, Values},
};
use burn::tensor::TensorData;
use kiln_spec::Refusal;
use safetensors::{Dtype, View};
use serde_json::{Value, json};
use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap},
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
}

impl Default for Layout<'_> {
    fn default() -> Self {
        Self { config_json: None, generation: None, shard: 5_000_000_000 }
    }
}

/// Saves a model: `weights` by Kiln's names, see [`values`](crate::values). Returns the family.
///
/// # Errors
/// If no family can hold it, the weights aren't the model's, or a file can't be written.
pub fn save(
    folder: &Path,
    config: &ModelConfig,
    weights: Values,
    layout: Layout,
) -> Result<&'static Family, SaveError> {
    let (family, json) = described(config, layout.config_json)?;
    let tensors = hf::disassemble(config, family, weights)?;
    fs::create_dir_all(folder).map_err(failed(folder))?;
    let files = shards(&tensors, layout.shard);
    for (name, tensors) in &files {
        write_tensors(&folder.join(name), tensors)?;
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

/// The family and `config.json`: that of the original if there is one, with what it says besides.
fn described(config: &ModelConfig, original: Option<&Value>) -> Result<(&'static Family, Value), Refusal> {
    let name = original.and_then(|json| json.get("model_type")).and_then(Value::as_str);
    let (family, mut json) = match name {
        Some(name) => {
            let family = hf::family(name)?;
            (family, family.config_json(config).map_err(|(_, refusal)| refusal)?)
        }
        None => hf::matching(config)?,
    };
    // Of numbers that are written anew, and of code that isn't Kiln's.
    let left = |key: &str| matches!(key, "torch_dtype" | "transformers_version" | "auto_map") || key.starts_with('_');
    let kept = |key: &str| is_harmless(key) && !left(key) || key == "max_position_embeddings";
    if let (Some(original), Some(ours)) = (original.and_then(Value::as_object), json.as_object_mut()) {
        for (key, value) in original.iter().filter(|(key, _)| kept(key)) {
            ours.entry(key.clone()).or_insert_with(|| value.clone());
        }
    }
    Ok((family, json))
}

/// Tensors of a file, by name.
type Shard<'a> = BTreeMap<&'a str, Raw<'a>>;

/// Files with their tensors, in the order of names, each up to `limit` bytes or of one tensor.
fn shards(tensors: &Values, limit: usize) -> Vec<(String, Shard<'_>)> {
    let (mut files, mut bytes) = (vec![Shard::new()], 0);
    for (name, data) in tensors {
        let size = data.as_bytes().len();
        if bytes + size > limit && bytes > 0 {
            files.push(Shard::new());
            bytes = 0;
        }
        bytes += size;
        files.last_mut().expect("there is a first").insert(name, Raw(data));
    }
    let count = files.len();
    let name = |i| if count == 1 { WEIGHTS.into() } else { format!("model-{:05}-of-{count:05}.safetensors", i + 1) };
    files.into_iter().enumerate().map(|(i, shard)| (name(i), shard)).collect()
}

fn index(files: &[(String, Shard)]) -> Value {
    let total: usize = files.iter().flat_map(|(_, shard)| shard.values()).map(|raw| raw.data_len()).sum();
    let map: BTreeMap<&str, &str> =
        files.iter().flat_map(|(file, shard)| shard.keys().map(move |name| (*name, file.as_str()))).collect();
    json!({ "metadata": { "total_size": total }, "weight_map": map })
}

struct Raw<'a>(&'a TensorData);

impl View for &Raw<'_> {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }

    fn shape(&self) -> &[usize] {
        self.0.shape()
    }

    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(self.0.as_bytes())
    }

    fn data_len(&self) -> usize {
        self.0.as_bytes().len()
    }
}

/// What the reference code looks for before it reads a file.
const FORMAT: [(&str, &str); 1] = [("format", "pt")];

/// Writes named tensors as one file, which appears whole or not at all.
///
/// # Errors
/// If it can't be written.
pub fn save_tensors(file: &Path, tensors: &Values) -> Result<(), SaveError> {
    write_tensors(file, &tensors.iter().map(|(name, data)| (name.as_str(), Raw(data))).collect())
}

fn write_tensors(file: &Path, tensors: &Shard) -> Result<(), SaveError> {
    whole(file, |temporary| {
        let about = HashMap::from(FORMAT.map(|(key, value)| (key.to_owned(), value.to_owned())));
        safetensors::serialize_to_file(tensors, Some(about), temporary).map_err(io::Error::other)?;
        File::open(temporary)?.sync_all()
    })
    .map_err(failed(file))
}

/// Writes JSON as one file, which appears whole or not at all.
///
/// # Errors
/// If it can't be written.
pub fn save_json(file: &Path, json: &Value) -> Result<(), SaveError> {
    whole(file, |temporary| {
        let mut written = File::create(temporary)?;
        written.write_all(format!("{json:#}\n").as_bytes())?;
        written.sync_all()
    })
    .map_err(failed(file))
}

/// Writes beside the place and renames.
pub(super) fn whole<E: From<io::Error>>(file: &Path, write: impl FnOnce(&Path) -> Result<(), E>) -> Result<(), E> {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let temporary = file.with_file_name(format!(".tmp-{name}-{}", std::process::id()));
    let written = write(&temporary).and_then(|()| Ok(fs::rename(&temporary, file)?));
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
