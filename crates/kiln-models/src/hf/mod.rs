//! Other people's models in the form that Hugging Face gives them: a `config.json` and named tensors.
//!
//! A family is one file here (its `mod` line and its line in [`FAMILIES`]): it translates the configuration both ways
//! and names the weights. It is no model of its own; what it needs is in the parts library.

mod activation;
mod assemble;
mod disassemble;
pub mod family;
pub mod fields;
mod gated;
mod rope;
pub mod tie;

mod gpt2;
mod llama;
mod mistral;
mod qwen2;

pub use assemble::{AssembleError, assemble};
pub use disassemble::disassemble;
pub use family::Family;
pub use fields::Fields;
pub use tie::{Form, Tie};

use crate::config::ModelConfig;
use kiln_spec::{Refusal, config::nearest};
use serde_json::Value;

/// All families that Kiln reads and writes.
pub const FAMILIES: &[Family] = &[gpt2::FAMILY, llama::FAMILY, mistral::FAMILY, qwen2::FAMILY];

/// The family of this `model_type`.
///
/// # Errors
/// If Kiln doesn't know it, with those that it knows, the nearest first.
pub fn family(model_type: &str) -> Result<&'static Family, Refusal> {
    if let Some(known) = FAMILIES.iter().find(|f| f.name == model_type || f.also.contains(&model_type)) {
        return Ok(known);
    }
    let names = || FAMILIES.iter().flat_map(|f| [f.name].into_iter().chain(f.also.iter().copied()));
    let meant = nearest(model_type, names()).map(|near| format!("did you mean `{near}`? "));
    let known = names().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let reason = format!("`{model_type}` is no family that Kiln knows");
    Err(Refusal::new("model_type", reason).instead(format!("{}known are {known}", meant.unwrap_or_default())))
}

/// The family and the model that a `config.json` describes; everything that it leaves open is written down.
///
/// # Errors
/// An unknown family, a broken configuration, or an option that Kiln doesn't implement.
pub fn read(config_json: &Value) -> Result<(&'static Family, ModelConfig), Refusal> {
    let Some(name) = config_json.get("model_type").and_then(Value::as_str) else {
        let reason = "a `config.json` names the family of its model here; this one doesn't";
        return Err(Refusal::new("model_type", reason).instead("\"model_type\": \"llama\", say"));
    };
    let family = family(name)?;
    let config = family.config(config_json)?;
    Ok((family, config))
}

/// The family that has a counterpart for everything in `config`, and its `config.json`.
///
/// # Errors
/// If there is none: what the nearest family has no counterpart for.
pub fn matching(config: &ModelConfig) -> Result<(&'static Family, Value), Refusal> {
    let mut nearest: Option<(usize, Refusal)> = None;
    for family in FAMILIES {
        match family.config_json(config) {
            Ok(json) => return Ok((family, json)),
            Err((apart, refusal)) => {
                if nearest.as_ref().is_none_or(|(least, _)| apart < *least) {
                    nearest = Some((apart, refusal));
                }
            }
        }
    }
    Err(nearest.map_or_else(|| Refusal::new("model", "no family is known"), |(_, refusal)| refusal))
}
