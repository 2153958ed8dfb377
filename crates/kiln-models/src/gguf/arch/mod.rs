//! Architectures, as `general.architecture` names them: metadata to `config.json` and back, and names.
//!
//! One is a file here (its `mod` line and its line in [`ARCHITECTURES`]).

mod bert;
mod fields;
mod gpt2;
mod llama;
mod qwen2;
mod rope;
mod t5;

pub use fields::Fields;
pub(super) use rope::divisors;

use super::{Metadata, Turn, Value};
use kiln_spec::{Refusal, config::nearest};
use serde_json::Value as Json;

/// All that Kiln reads.
pub const ARCHITECTURES: &[Architecture] =
    &[llama::ARCHITECTURE, qwen2::ARCHITECTURE, gpt2::ARCHITECTURE, bert::ARCHITECTURE, t5::ARCHITECTURE];

/// Metadata of a `config.json`.
pub type ToMetadata = fn(&Json) -> Result<Metadata, Refusal>;

/// An architecture.
#[derive(Clone, Copy, Debug)]
pub struct Architecture {
    /// Its name in `general.architecture`.
    pub name: &'static str,
    /// What a `config.json` of the same model says.
    pub config: fn(&Fields) -> Result<Json, Refusal>,
    /// The reverse. Keys are without the architecture's name.
    pub metadata: ToMetadata,
    /// Families (`model_type`) whose models it holds besides those of its own name.
    pub also: &'static [&'static str],
    /// Names of tensors, without `.weight` and `.bias`, of a model whose feed-forwards have a gate, or have none.
    pub names: fn(bool) -> Vec<Rule>,
    /// Tensors that say what the configuration says.
    pub told: &'static [&'static str],
}

/// A tensor's name in a GGUF file and in Hugging Face's; `{}` is the number of the block.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// In the GGUF file: `blk.{}.attn_q`.
    pub gguf: &'static str,
    /// In Hugging Face's: `model.layers.{}.self_attn.q_proj`.
    pub hub: &'static str,
    /// How the numbers differ.
    pub turn: Turn,
}

const fn same(gguf: &'static str, hub: &'static str) -> Rule {
    turned(gguf, hub, Turn::Same)
}

const fn turned(gguf: &'static str, hub: &'static str, turn: Turn) -> Rule {
    Rule { gguf, hub, turn }
}

impl Architecture {
    /// The architecture that metadata names.
    ///
    /// # Errors
    /// If they name none, or one that Kiln doesn't know: with those that it knows.
    pub fn of(metadata: &Metadata) -> Result<&'static Self, Refusal> {
        const KEY: &str = "general.architecture";
        match metadata.text(KEY)? {
            Some(name) => find(KEY, name, |known| vec![known.name]),
            None => Err(Refusal::new(KEY, "a file that holds a model names its architecture here; this one doesn't")),
        }
    }

    /// The architecture that holds a model of this `config.json`.
    ///
    /// # Errors
    /// If Kiln knows none for its `model_type`.
    pub fn for_config(config_json: &Json) -> Result<&'static Self, Refusal> {
        const KEY: &str = "model_type";
        let name = config_json.get(KEY).and_then(Json::as_str).unwrap_or_default();
        find(KEY, name, |known| [&[known.name], known.also].concat())
    }
}

impl Rule {
    /// The name in Hugging Face's files of the tensor `gguf`, if this rule is about it.
    pub fn to_hub(&self, gguf: &str) -> Option<String> {
        renamed(gguf, self.gguf, self.hub)
    }

    /// The reverse.
    pub fn to_gguf(&self, hub: &str) -> Option<String> {
        renamed(hub, self.hub, self.gguf)
    }
}

/// The architecture that is called so.
fn find(
    key: &str,
    name: &str,
    called: impl Fn(&Architecture) -> Vec<&'static str>,
) -> Result<&'static Architecture, Refusal> {
    if let Some(found) = ARCHITECTURES.iter().find(|known| called(known).contains(&name)) {
        return Ok(found);
    }
    let known: Vec<&str> = ARCHITECTURES.iter().flat_map(called).collect();
    let meant = nearest(name, known.iter().copied()).map(|near| format!("did you mean `{near}`? "));
    let all = known.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let reason = format!("`{name}` is no architecture that Kiln knows of GGUF files");
    Err(Refusal::new(key, reason).instead(format!("{}known are {all}", meant.unwrap_or_default())))
}

/// A name of the form `from` in the form `to`.
fn renamed(name: &str, from: &str, to: &str) -> Option<String> {
    let (stem, end) = name.rsplit_once('.').filter(|(_, end)| ["weight", "bias"].contains(end))?;
    let Some((before, after)) = from.split_once("{}") else {
        return (stem == from).then(|| format!("{to}.{end}"));
    };
    let block = stem.strip_prefix(before)?.strip_suffix(after)?;
    let number = !block.is_empty() && block.bytes().all(|byte| byte.is_ascii_digit());
    number.then(|| format!("{}.{end}", to.replace("{}", block)))
}

/// Metadata of sizes: a key, and the key in `config.json` that says it.
fn sizes(config: &Json, keys: &[(&str, &str)]) -> Result<Metadata, Refusal> {
    let mut metadata = Metadata::default();
    for (key, theirs) in keys {
        let size = config[theirs].as_u64().and_then(|size| u32::try_from(size).ok());
        let wrong = || Refusal::new(*theirs, format!("a whole number was expected, found {}", config[theirs]));
        metadata.set(*key, Value::U32(size.ok_or_else(wrong)?));
    }
    Ok(metadata)
}
