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

use super::{Metadata, Turn};
use kiln_spec::{Refusal, config::nearest};
use serde_json::Value as Json;

/// All that Kiln reads.
pub const ARCHITECTURES: &[Architecture] =
    &[llama::ARCHITECTURE, qwen2::ARCHITECTURE, gpt2::ARCHITECTURE, bert::ARCHITECTURE, t5::ARCHITECTURE];

/// An architecture.
#[derive(Clone, Copy, Debug)]
pub struct Architecture {
    /// Its name in `general.architecture`.
    pub name: &'static str,
    /// What a `config.json` of the same model says.
    pub config: fn(&Fields) -> Result<Json, Refusal>,
    /// The reverse, for models of this `model_type`, if Kiln writes it. Keys are without the architecture's name.
    pub metadata: Option<fn(&Json) -> Result<Metadata, Refusal>>,
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
            Some(name) => find(KEY, name, |_| true),
            None => Err(Refusal::new(KEY, "a file that holds a model names its architecture here; this one doesn't")),
        }
    }

    /// The architecture that holds a model of this `config.json`.
    ///
    /// # Errors
    /// If Kiln writes none for its `model_type`.
    pub fn for_config(config_json: &Json) -> Result<&'static Self, Refusal> {
        const KEY: &str = "model_type";
        let name = config_json.get(KEY).and_then(Json::as_str).unwrap_or_default();
        find(KEY, name, |known| known.metadata.is_some())
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

fn find(key: &str, name: &str, fit: impl Fn(&Architecture) -> bool) -> Result<&'static Architecture, Refusal> {
    let known = || ARCHITECTURES.iter().filter(|known| fit(known));
    if let Some(found) = known().find(|known| known.name == name) {
        return Ok(found);
    }
    let meant = nearest(name, known().map(|known| known.name)).map(|near| format!("did you mean `{near}`? "));
    let all = known().map(|known| format!("`{}`", known.name)).collect::<Vec<_>>().join(", ");
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
