//! Architectures, as `general.architecture` names them: metadata to `config.json` and back, and names.
//!
//! One is a file here (its `mod` line and its line in [`ARCHITECTURES`]).

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

/// All that Kiln reads.
pub const ARCHITECTURES: &[Architecture] =
    &[llama::ARCHITECTURE, qwen2::ARCHITECTURE, gpt2::ARCHITECTURE, bert::ARCHITECTURE, t5::ARCHITECTURE];

/// Metadata of a `config.json`.
pub type MetadataFn = fn(&Json) -> Result<Metadata, ValidationError>;

/// An architecture.
#[derive(Clone, Copy, Debug)]
pub struct Architecture {
    /// Its name in `general.architecture`.
    pub name: &'static str,
    /// What a `config.json` of the same model says.
    pub to_config_json: fn(&MetadataReader) -> Result<Json, ValidationError>,
    /// The reverse. Keys are without the architecture's name.
    pub to_metadata: MetadataFn,
    /// Families (`model_type`) whose models it holds besides those of its own name.
    pub aliases: &'static [&'static str],
    /// Names of tensors, without `.weight` and `.bias`, of a model whose feed-forwards have a gate, or have none.
    pub name_rules: fn(bool) -> Vec<NameRule>,
    /// Tensors that say what the configuration says.
    pub derived_tensors: &'static [&'static str],
}

/// A tensor's name in a GGUF file and in Hugging Face's; `{}` is the number of the block.
#[derive(Clone, Copy, Debug)]
pub struct NameRule {
    /// In the GGUF file: `blk.{}.attn_q`.
    pub gguf_name: &'static str,
    /// In Hugging Face's: `model.layers.{}.self_attn.q_proj`.
    pub hf_name: &'static str,
    /// How the numbers differ.
    pub permutation: RowPermutation,
}

const fn plain_rule(gguf: &'static str, hub: &'static str) -> NameRule {
    permuted_rule(gguf, hub, RowPermutation::Identity)
}

const fn permuted_rule(gguf: &'static str, hub: &'static str, turn: RowPermutation) -> NameRule {
    NameRule { gguf_name: gguf, hf_name: hub, permutation: turn }
}

impl Architecture {
    /// The architecture that metadata names.
    ///
    /// # Errors
    /// If they name none, or one that Kiln doesn't know: with those that it knows.
    pub fn from_metadata(metadata: &Metadata) -> Result<&'static Self, ValidationError> {
        const KEY: &str = "general.architecture";
        match metadata.string(KEY)? {
            Some(name) => find_architecture(KEY, name, |known| vec![known.name]),
            None => Err(ValidationError::new(
                KEY,
                "a file that holds a model names its architecture here; this one doesn't",
            )),
        }
    }

    /// The architecture that holds a model of this `config.json`.
    ///
    /// # Errors
    /// If Kiln knows none for its `model_type`.
    pub fn from_config_json(config_json: &Json) -> Result<&'static Self, ValidationError> {
        const KEY: &str = "model_type";
        let name = config_json.get(KEY).and_then(Json::as_str).unwrap_or_default();
        find_architecture(KEY, name, |known| [&[known.name], known.aliases].concat())
    }
}

impl NameRule {
    /// The name in Hugging Face's files of the tensor `gguf`, if this rule is about it.
    pub fn to_hf(&self, gguf: &str) -> Option<String> {
        rename_tensor(gguf, self.gguf_name, self.hf_name)
    }

    /// The reverse.
    pub fn to_gguf(&self, hub: &str) -> Option<String> {
        rename_tensor(hub, self.hf_name, self.gguf_name)
    }
}

/// The architecture that is called so.
fn find_architecture(
    key: &str,
    name: &str,
    called: impl Fn(&Architecture) -> Vec<&'static str>,
) -> Result<&'static Architecture, ValidationError> {
    if let Some(found) = ARCHITECTURES.iter().find(|known| called(known).contains(&name)) {
        return Ok(found);
    }
    let known: Vec<&str> = ARCHITECTURES.iter().flat_map(called).collect();
    let meant = closest_match(name, known.iter().copied()).map(|near| format!("did you mean `{near}`? "));
    let all = known.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let reason = format!("`{name}` is no architecture that Kiln knows of GGUF files");
    Err(ValidationError::new(key, reason).with_suggestion(format!("{}known are {all}", meant.unwrap_or_default())))
}

/// A name of the form `from` in the form `to`.
fn rename_tensor(name: &str, from: &str, to: &str) -> Option<String> {
    let (stem, end) = name.rsplit_once('.').filter(|(_, end)| ["weight", "bias"].contains(end))?;
    let Some((before, after)) = from.split_once("{}") else {
        return (stem == from).then(|| format!("{to}.{end}"));
    };
    let block = stem.strip_prefix(before)?.strip_suffix(after)?;
    let number = !block.is_empty() && block.bytes().all(|byte| byte.is_ascii_digit());
    number.then(|| format!("{}.{end}", to.replace("{}", block)))
}

/// Metadata of sizes: a key, and the key in `config.json` that says it.
fn size_metadata(config: &Json, keys: &[(&str, &str)]) -> Result<Metadata, ValidationError> {
    let mut metadata = Metadata::default();
    for (key, theirs) in keys {
        let size = config[theirs].as_u64().and_then(|size| u32::try_from(size).ok());
        let wrong = || ValidationError::new(*theirs, format!("a whole number was expected, found {}", config[theirs]));
        metadata.set(*key, Value::U32(size.ok_or_else(wrong)?));
    }
    Ok(metadata)
}
