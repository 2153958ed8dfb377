//! Architectures of GGUF files (`general.architecture`): metadata ↔ `config.json`, and tensor names.
//!
//! An architecture is one file here, its `mod` line and its line in [`ARCHITECTURES`].

mod bert;
mod gpt2;
mod llama;
mod metadata_reader;
mod qwen2;
mod rope;
mod t5;

pub use metadata_reader::MetadataReader;
pub(super) use rope::llama3_freq_factors;

use super::{Metadata, RowPermutation, Value};
use kiln_spec::{ValidationError, config::closest_match};
use serde_json::Value as Json;

/// All architectures that Kiln reads and writes.
pub const ARCHITECTURES: &[Architecture] =
    &[llama::ARCHITECTURE, qwen2::ARCHITECTURE, gpt2::ARCHITECTURE, bert::ARCHITECTURE, t5::ARCHITECTURE];

/// A function from `config.json` to metadata.
pub type MetadataFn = fn(&Json) -> Result<Metadata, ValidationError>;

/// An architecture.
#[derive(Clone, Copy, Debug)]
pub struct Architecture {
    /// The name in `general.architecture`.
    pub name: &'static str,
    /// Returns the `config.json` of the same model. `model_type` and token ids are added by the caller.
    pub to_config_json: fn(&MetadataReader) -> Result<Json, ValidationError>,
    /// Returns the metadata of a `config.json`. Keys have no architecture prefix.
    pub to_metadata: MetadataFn,
    /// Other families (`model_type`) whose models are written as this architecture.
    pub aliases: &'static [&'static str],
    /// Returns the names of tensors, without `.weight` and `.bias`, for gated (`true`) or plain feed-forward networks.
    pub name_rules: fn(bool) -> Vec<NameRule>,
    /// Tensors of a file that follow from the configuration and are no parameters.
    pub derived_tensors: &'static [&'static str],
}

/// The names of a tensor in GGUF and in the Hugging Face format. `{}` stands for the index of the layer.
#[derive(Clone, Copy, Debug)]
pub struct NameRule {
    /// The GGUF name: `blk.{}.attn_q`.
    pub gguf_name: &'static str,
    /// The Hugging Face name: `model.layers.{}.self_attn.q_proj`.
    pub hf_name: &'static str,
    /// How the rows differ.
    pub permutation: RowPermutation,
}

/// A rule for a tensor with the same rows in both formats.
const fn plain_rule(gguf_name: &'static str, hf_name: &'static str) -> NameRule {
    permuted_rule(gguf_name, hf_name, RowPermutation::Identity)
}

const fn permuted_rule(gguf_name: &'static str, hf_name: &'static str, permutation: RowPermutation) -> NameRule {
    NameRule { gguf_name, hf_name, permutation }
}

impl Architecture {
    /// Returns the architecture that metadata name.
    ///
    /// # Errors
    /// If `general.architecture` is missing or not supported; the error lists the supported ones.
    pub fn from_metadata(metadata: &Metadata) -> Result<&'static Self, ValidationError> {
        const KEY: &str = "general.architecture";
        match metadata.string(KEY)? {
            Some(name) => find_architecture(KEY, name, |architecture| vec![architecture.name]),
            None => Err(ValidationError::new(
                KEY,
                "missing key: the file does not name the model architecture (is it a model file?)",
            )),
        }
    }

    /// Returns the architecture for a `config.json`.
    ///
    /// # Errors
    /// If no architecture holds models of this `model_type`; the error lists the supported ones.
    pub fn from_config_json(config_json: &Json) -> Result<&'static Self, ValidationError> {
        const KEY: &str = "model_type";
        let name = config_json.get(KEY).and_then(Json::as_str).unwrap_or_default();
        find_architecture(KEY, name, |architecture| [&[architecture.name], architecture.aliases].concat())
    }
}

impl NameRule {
    /// Returns the Hugging Face name of the tensor `gguf_name`, if the rule applies to it.
    pub fn to_hf(&self, gguf_name: &str) -> Option<String> {
        rename_tensor(gguf_name, self.gguf_name, self.hf_name)
    }

    /// Returns the GGUF name of the tensor `hf_name`, if the rule applies to it.
    pub fn to_gguf(&self, hf_name: &str) -> Option<String> {
        rename_tensor(hf_name, self.hf_name, self.gguf_name)
    }
}

/// Finds the architecture that has `name` among its `names`. `key` is the path of the error.
fn find_architecture(
    key: &str,
    name: &str,
    names: impl Fn(&Architecture) -> Vec<&'static str>,
) -> Result<&'static Architecture, ValidationError> {
    if let Some(found) = ARCHITECTURES.iter().find(|architecture| names(architecture).contains(&name)) {
        return Ok(found);
    }
    let supported: Vec<&str> = ARCHITECTURES.iter().flat_map(names).collect();
    let list = supported.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let suggestion = match closest_match(name, supported.iter().copied()) {
        Some(close) => format!("did you mean `{close}`? supported: {list}"),
        None => format!("supported: {list}"),
    };
    let reason = format!("unsupported GGUF architecture `{name}`");
    Err(ValidationError::new(key, reason).with_suggestion(suggestion))
}

/// Returns a name of the form `from` in the form `to`: `.weight` or `.bias` stays, and so does the layer index that `{}`
/// stands for.
fn rename_tensor(name: &str, from: &str, to: &str) -> Option<String> {
    let (stem, suffix) = name.rsplit_once('.').filter(|(_, suffix)| ["weight", "bias"].contains(suffix))?;
    let Some((before, after)) = from.split_once("{}") else {
        return (stem == from).then(|| format!("{to}.{suffix}"));
    };
    let layer = stem.strip_prefix(before)?.strip_suffix(after)?;
    let is_index = !layer.is_empty() && layer.bytes().all(|byte| byte.is_ascii_digit());
    is_index.then(|| format!("{}.{suffix}", to.replace("{}", layer)))
}

/// Metadata of sizes: pairs of a GGUF key and the key in `config.json`.
fn size_metadata(config: &Json, keys: &[(&str, &str)]) -> Result<Metadata, ValidationError> {
    let mut metadata = Metadata::default();
    for (gguf_key, hf_key) in keys {
        let Some(size) = config[hf_key].as_u64().and_then(|size| u32::try_from(size).ok()) else {
            return Err(ValidationError::new(*hf_key, format!("expected an integer, found {}", config[hf_key])));
        };
        metadata.set(*gguf_key, Value::U32(size));
    }
    Ok(metadata)
}
