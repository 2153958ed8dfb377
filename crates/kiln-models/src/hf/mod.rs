//! Model families of Hugging Face: `config.json` and tensor names, translated to Kiln's configurations and parameter names
//! and back.
//!
//! A family (Llama, BERT, T5, …) is not a model class. It is a [`Family`]: one file here with data that is read in both
//! directions. A template with named holes gives the [`ModelConfig`], a table of keys says which key of `config.json` fills which
//! hole, and a table of names which tensor holds which parameter. Everything that a family computes is a part in `kiln-nn`.
//!
//! | direction | function |
//! |---|---|
//! | `config.json` → [`ModelConfig`] | [`read_config`] |
//! | tensors → [`Model`](crate::Model) | [`load_model`] |
//! | tensors of GPTQ, AWQ, … → tensors | [`quantized::open`] |
//! | [`ModelConfig`] → `config.json` | [`to_config_json`], [`find_family`] |
//! | parameters → tensors | [`export_tensors`] |
//! | the same for llama.cpp's files | [`gguf`] |
//!
//! To add a family: write `hf/<family>.rs` with a `FAMILY` constant, add its `mod` line and its entry in [`FAMILIES`].
//! Files that families have in common: `llama_like`, `bert_like`, `t5_like` (templates and names), `rope`, `latent_rotary`, `layer_rotary`,
//! `layer_mixers`,
//! `windows`, `sparse_layers`, `scales`, `class_head`, `position_table`, `activation` (keys that are no plain value of one hole).

mod activation;
mod alibi_or_rotary;
mod bert_like;
pub mod binding;
mod class_head;
pub mod config_reader;
pub mod config_warning;
mod each_head_norm;
mod export;
pub mod family;
pub mod gguf;
mod head_rows;
mod keys;
mod latent_rotary;
mod layer_mixers;
mod layer_rotary;
mod layout;
mod llama_like;
mod load;
mod load_packed;
mod names;
mod position_table;
pub mod quantized;
mod reference_keys;
mod rope;
mod row_permutation;
mod scales;
pub mod sentence_transformers;
mod sigmoid_router;
mod sparse_layers;
mod state_space;
mod t5_like;
mod template;
mod windows;

mod bert;
mod bloom;
mod cohere;
mod deepseek_v3;
mod diffllama;
mod distilbert;
mod electra;
mod falcon;
mod gemma;
mod gemma2;
mod gpt2;
mod gpt_bigcode;
mod gpt_neox;
mod gpt_oss;
mod gptj;
mod granite;
mod lfm2;
mod llama;
mod mamba2;
mod mistral;
mod mixtral;
mod modernbert;
mod mpt;
mod mt5;
mod olmo2;
mod opt;
mod phi;
mod phi3;
mod qwen2;
mod qwen2_moe;
mod qwen3;
mod qwen3_moe;
mod roberta;
mod smollm3;
mod stablelm;
mod starcoder2;
pub mod t5;

pub use binding::{Binding, TensorLayout, ValueMap};
pub use config_reader::ConfigReader;
pub use config_warning::ConfigWarning;
pub use export::{ExportedTensors, export_tensors};
pub use family::{Family, config_diff};
pub use load::{LoadWeightsError, file_bindings, load_model, load_model_as};
pub use row_permutation::RowPermutation;

use crate::config::ModelConfig;
use kiln_spec::{ValidationError, config::closest_match};
use serde_json::Value;

/// All families, in the order in which [`find_family`] tries them.
pub const FAMILIES: &[Family] = &[
    gpt2::FAMILY,
    llama::FAMILY,
    mistral::FAMILY,
    phi3::FAMILY,
    qwen2::FAMILY,
    qwen3::FAMILY,
    gemma::FAMILY,
    gemma2::FAMILY,
    mixtral::FAMILY,
    olmo2::FAMILY,
    granite::FAMILY,
    starcoder2::FAMILY,
    gpt_neox::FAMILY,
    bloom::FAMILY,
    phi::FAMILY,
    gptj::FAMILY,
    smollm3::FAMILY,
    qwen3_moe::FAMILY,
    falcon::FAMILY,
    opt::FAMILY,
    gpt_bigcode::FAMILY,
    stablelm::FAMILY,
    cohere::FAMILY,
    qwen2_moe::FAMILY,
    mpt::FAMILY,
    deepseek_v3::FAMILY,
    mamba2::FAMILY,
    lfm2::FAMILY,
    diffllama::FAMILY,
    gpt_oss::FAMILY,
    bert::FAMILY,
    roberta::FAMILY,
    distilbert::FAMILY,
    electra::FAMILY,
    modernbert::FAMILY,
    t5::FAMILY,
    mt5::FAMILY,
];

/// The family with this `model_type` or alias.
///
/// # Errors
/// If no family has the name. The error lists all names and the most similar one.
pub fn family(model_type: &str) -> Result<&'static Family, ValidationError> {
    if let Some(family) = FAMILIES.iter().find(|f| f.name == model_type || f.aliases.contains(&model_type)) {
        return Ok(family);
    }
    let names: Vec<&str> =
        FAMILIES.iter().flat_map(|f| [f.name].into_iter().chain(f.aliases.iter().copied())).collect();
    let meant = closest_match(model_type, names.iter().copied()).map(|name| format!("did you mean \"{name}\"? "));
    let suggestion = format!("{}supported: {}", meant.unwrap_or_default(), names.join(", "));
    let reason = format!("unsupported model_type \"{model_type}\"");
    Err(ValidationError::new("model_type", reason).with_suggestion(suggestion))
}

/// The family of a `config.json` and the model that it describes, resolved and checked.
///
/// # Errors
/// An unsupported `model_type`, a value of the wrong type or range, or an option that Kiln does not implement. The error's
/// path is the key in `config.json`.
pub fn read_config(config_json: &Value) -> Result<(&'static Family, ModelConfig), ValidationError> {
    read_config_with_warnings(config_json).map(|(family, config, _)| (family, config))
}

/// The family and the model of a `config.json`, with what the file says without effect: keys that the reference does not
/// read either, and values that are not used.
///
/// # Errors
/// As [`read_config`].
pub fn read_config_with_warnings(
    config_json: &Value,
) -> Result<(&'static Family, ModelConfig, Vec<ConfigWarning>), ValidationError> {
    let family = find_family_of_file(config_json)?;
    let (config, warnings) = family.config_with_warnings(&quantized::without_options(config_json))?;
    Ok((family, config, warnings))
}

/// The family that `model_type` of a `config.json` names, if the file is one of a text model whose weights Kiln reads.
fn find_family_of_file(config_json: &Value) -> Result<&'static Family, ValidationError> {
    let Some(name) = config_json.get("model_type").and_then(Value::as_str) else {
        let reason = "expected the name of a model family, found none";
        let class = config_json["architectures"][0].as_str();
        let named = FAMILIES.iter().find(|family| class.is_some_and(|class| family.architectures.contains(&class)));
        let suggestion = match (named, class) {
            (Some(family), Some(class)) => format!("add \"model_type\": \"{}\", the family of {class}", family.name),
            _ => "add \"model_type\": \"llama\", for example".into(),
        };
        return Err(ValidationError::new("model_type", reason).with_suggestion(suggestion));
    };
    let family = family(name).map_err(|error| match config_json["text_config"]["model_type"].as_str() {
        Some(text) => error.with_suggestion(format!(
            "the file describes a model of several modalities around a text model (text_config: \"{text}\"); Kiln reads \
             text models only"
        )),
        None => error,
    })?;
    quantized::check_config(config_json, family)?;
    Ok(family)
}

/// The `config.json` of a model, and its family: the family of `original`, or the first that can express the model.
///
/// `original` is the `config.json` that the model was loaded from. Keys of it that don't affect the computation (token ids,
/// tokenizer class) are taken over.
///
/// # Errors
/// If the family cannot express some part of the model; the path is the part's in [`ModelConfig`].
pub fn to_config_json(
    config: &ModelConfig,
    original: Option<&Value>,
) -> Result<(&'static Family, Value), ValidationError> {
    let (family, mut json) = match original.and_then(|json| json.get("model_type")).and_then(Value::as_str) {
        Some(name) => {
            let family = family(name)?;
            (family, family.config_to_json(config).map_err(|(_, error)| error)?)
        }
        None => find_family(config)?,
    };
    if let (Some(original), Some(written)) = (original.and_then(Value::as_object), json.as_object_mut()) {
        for (key, value) in original.iter().filter(|(key, _)| is_copied_key(key)) {
            let entry = written.entry(key.clone()).or_insert_with(|| value.clone());
            // The family writes a default, but the first token of generation is not part of the model.
            if key == "decoder_start_token_id" {
                *entry = value.clone();
            }
        }
    }
    Ok((family, json))
}

/// Whether a key of the original `config.json` is copied: it doesn't affect the computation, and is still true of weights
/// that are written anew and loaded by the reference code. The longest text has three names.
fn is_copied_key(key: &str) -> bool {
    let is_stale = matches!(key, "torch_dtype" | "transformers_version" | "auto_map") || key.starts_with('_');
    let is_longest_text = matches!(key, "max_position_embeddings" | "max_seq_len" | "n_positions");
    config_reader::is_ignored_key(key) && !is_stale || is_longest_text
}

/// The first family that can express the whole model, and the model's `config.json` in it.
///
/// # Errors
/// If no family can. The error is that of the closest family, the one with the fewest differences: its first difference.
pub fn find_family(config: &ModelConfig) -> Result<(&'static Family, Value), ValidationError> {
    let mut closest: Option<(usize, ValidationError)> = None;
    for family in FAMILIES {
        match family.config_to_json(config) {
            Ok(json) => return Ok((family, json)),
            Err((differences, error)) => {
                if closest.as_ref().is_none_or(|(fewest, _)| differences < *fewest) {
                    closest = Some((differences, error));
                }
            }
        }
    }
    Err(closest.map_or_else(|| ValidationError::new("model", "no model family is supported"), |(_, error)| error))
}
