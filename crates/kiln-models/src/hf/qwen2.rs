//! Qwen2 (2407.10671): Llama's form with biases of queries, keys and values, and windows in some layers.

use super::{
    Family,
    config_reader::ConfigReader,
    llama_like::{self, Defaults, FamilyOptions},
};
use crate::config::ModelConfig;
use kiln_spec::ValidationError;
use serde_json::Value;

pub(super) const FAMILY: Family = Family {
    name: "qwen2",
    aliases: &[],
    architectures: &["Qwen2ForCausalLM", "Qwen2Model"],
    prefix: "model.",
    ignored_suffixes: &["rotary_emb.inv_freq"],
    read_config: read,
    write_config: write,
    bindings: llama_like::bindings,
};

const DEFAULTS: Defaults = Defaults { family: FAMILY.name, vocab: 151_936, intermediate: 22_016, kv_heads: Some(32) };

fn read(json: &Value) -> Result<ModelConfig, ValidationError> {
    let fields = ConfigReader::new(FAMILY.name, json)?;
    let windows = read_windows(&fields)?;
    llama_like::read(&fields, &DEFAULTS, &FamilyOptions { qkv_bias: true, windows, ..FamilyOptions::default() })
}

/// The layers' windows: by `layer_types`, or in all layers from `max_window_layers` on.
fn read_windows(fields: &ConfigReader) -> Result<Vec<Option<usize>>, ValidationError> {
    let layers = llama_like::num_layers(fields)?;
    let default = if fields.is_null("sliding_window") { None } else { Some(4096) };
    let (given, first) =
        (fields.integer("sliding_window")?.or(default), fields.integer("max_window_layers")?.unwrap_or(28));
    let window = if fields.flag("use_sliding_window", false)? { given } else { None };
    let Some(types) = fields.get("layer_types") else {
        return Ok((0..layers).map(|layer| window.filter(|_| layer >= first)).collect());
    };
    let Some(types) = types.as_array().filter(|types| types.len() == layers) else {
        return Err(ValidationError::new(
            "layer_types",
            format!("a list of {layers} words, one a layer, found {types}"),
        ));
    };
    let each = |(layer, kind): (usize, &Value)| match kind.as_str() {
        Some("full_attention") => Ok(None),
        Some("sliding_attention") if window.is_some() => Ok(window),
        Some("sliding_attention") => {
            let reason = "a window is asked for, but its width is not given or `use_sliding_window` is false";
            Err(ValidationError::new(format!("layer_types[{layer}]"), reason))
        }
        _ => {
            let reason = format!("Kiln implements full_attention and sliding_attention, found {kind}");
            Err(ValidationError::new(format!("layer_types[{layer}]"), reason))
        }
    };
    types.iter().enumerate().map(each).collect()
}

fn write(config: &ModelConfig) -> Result<Value, ValidationError> {
    let found = llama_like::match_llama_blocks(config)?;
    let mut json = llama_like::write(config, &found)?;
    let window = found.windows.iter().flatten().next();
    let kind = |window: &Option<u32>| if window.is_some() { "sliding_attention" } else { "full_attention" };
    json["use_sliding_window"] = window.is_some().into();
    json["sliding_window"] = window.copied().into();
    json["max_window_layers"] = found.windows.iter().take_while(|window| window.is_none()).count().into();
    json["layer_types"] = found.windows.iter().map(kind).collect::<Vec<_>>().into();
    Ok(json)
}
