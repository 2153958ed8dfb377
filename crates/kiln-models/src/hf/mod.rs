//! Other people's models in the form that Hugging Face gives them: a `config.json` and named tensors.
//!
//! A family is one file here (its `mod` line and its line in [`FAMILIES`]): it translates the configuration both ways
//! and names the weights. It is no model of its own; what it needs is in the parts library.

mod activation;
mod bert_like;
pub mod binding;
pub mod config_reader;
mod export;
pub mod family;
mod llama_like;
mod load;
mod rope;
pub mod sentence_transformers;

mod bert;
mod gpt2;
mod llama;
mod mistral;
mod mt5;
mod phi3;
mod qwen2;
mod roberta;
pub mod t5;

pub use binding::{Binding, TensorLayout};
pub use config_reader::ConfigReader;
pub use export::{ExportedTensors, export_tensors};
pub use family::Family;
pub use load::{LoadWeightsError, load_model};

use crate::config::ModelConfig;
use kiln_spec::{ValidationError, config::closest_match};
use serde_json::Value;

/// All families that Kiln reads and writes.
pub const FAMILIES: &[Family] = &[
    gpt2::FAMILY,
    llama::FAMILY,
    mistral::FAMILY,
    phi3::FAMILY,
    qwen2::FAMILY,
    bert::FAMILY,
    roberta::FAMILY,
    t5::FAMILY,
    mt5::FAMILY,
];

/// The family of this `model_type`.
///
/// # Errors
/// If Kiln doesn't know it, with those that it knows, the nearest first.
pub fn family(model_type: &str) -> Result<&'static Family, ValidationError> {
    if let Some(known) = FAMILIES.iter().find(|f| f.name == model_type || f.aliases.contains(&model_type)) {
        return Ok(known);
    }
    let names = || FAMILIES.iter().flat_map(|f| [f.name].into_iter().chain(f.aliases.iter().copied()));
    let meant = closest_match(model_type, names()).map(|near| format!("did you mean `{near}`? "));
    let known = names().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let reason = format!("`{model_type}` is no family that Kiln knows");
    Err(ValidationError::new("model_type", reason)
        .with_suggestion(format!("{}known are {known}", meant.unwrap_or_default())))
}

/// The family and the model that a `config.json` describes; everything that it leaves open is written down.
///
/// # Errors
/// An unknown family, a broken configuration, or an option that Kiln doesn't implement.
pub fn read_config(config_json: &Value) -> Result<(&'static Family, ModelConfig), ValidationError> {
    let Some(name) = config_json.get("model_type").and_then(Value::as_str) else {
        let reason = "a `config.json` names the family of its model here; this one doesn't";
        return Err(ValidationError::new("model_type", reason).with_suggestion("\"model_type\": \"llama\", say"));
    };
    let family = family(name)?;
    let config = family.config_from_json(config_json)?;
    Ok((family, config))
}

/// The family and the `config.json` of a model: that of the original if it had one, with what that says besides.
///
/// # Errors
/// If the family has no counterpart for some part of the model.
pub fn to_config_json(
    config: &ModelConfig,
    original: Option<&Value>,
) -> Result<(&'static Family, Value), ValidationError> {
    let name = original.and_then(|json| json.get("model_type")).and_then(Value::as_str);
    let (family, mut json) = match name {
        Some(name) => {
            let family = family(name)?;
            (family, family.config_to_json(config).map_err(|(_, refusal)| refusal)?)
        }
        None => find_family(config)?,
    };
    // Of numbers that are written anew, and of code that isn't Kiln's.
    let left = |key: &str| matches!(key, "torch_dtype" | "transformers_version" | "auto_map") || key.starts_with('_');
    let kept = |key: &str| config_reader::is_ignored_key(key) && !left(key) || key == "max_position_embeddings";
    if let (Some(original), Some(ours)) = (original.and_then(Value::as_object), json.as_object_mut()) {
        for (key, value) in original.iter().filter(|(key, _)| kept(key)) {
            let told = ours.entry(key.clone()).or_insert_with(|| value.clone());
            // Which token begins is no part of the model.
            if key == "decoder_start_token_id" {
                *told = value.clone();
            }
        }
    }
    Ok((family, json))
}

/// The family that has a counterpart for everything in `config`, and its `config.json`.
///
/// # Errors
/// If there is none: what the nearest family has no counterpart for.
pub fn find_family(config: &ModelConfig) -> Result<(&'static Family, Value), ValidationError> {
    let mut nearest: Option<(usize, ValidationError)> = None;
    for family in FAMILIES {
        match family.config_to_json(config) {
            Ok(json) => return Ok((family, json)),
            Err((apart, refusal)) => {
                if nearest.as_ref().is_none_or(|(least, _)| apart < *least) {
                    nearest = Some((apart, refusal));
                }
            }
        }
    }
    Err(nearest.map_or_else(|| ValidationError::new("model", "no family is known"), |(_, refusal)| refusal))
}
