//! Qwen2 (2407.10671) and Qwen2.5: the form of Llama with biases of q, k and v, and sliding windows in some layers.
//!
//! Windows act only with `use_sliding_window`. `layer_types` lists the kind of each layer; older files have
//! `max_window_layers` instead, the number of layers with full attention before the others. Reference:
//! `modeling_qwen2.py` of transformers.

use super::{
    Family,
    config_reader::ConfigReader,
    llama_like::{self, Defaults, FamilyOptions},
    rope::RotaryClass,
};
use crate::config::ModelConfig;
use kiln_spec::ValidationError;
use serde_json::Value;

pub(super) const FAMILY: Family = Family {
    name: "qwen2",
    aliases: &[],
    architectures: &["Qwen2ForCausalLM", "Qwen2Model"],
    prefix: "model.",
    // Rotary frequencies, which older files contain; Kiln computes them.
    ignored_suffixes: &["rotary_emb.inv_freq"],
    read_config: read,
    write_config: write,
    bindings: llama_like::bindings,
};

const DEFAULTS: Defaults = Defaults {
    vocab: 151_936,
    hidden: 4096,
    intermediate: 22_016,
    kv_heads: Some(32),
    eps: 1e-6,
    max_length: 32_768,
    rotary: RotaryClass::Scaled,
};

fn read(fields: &ConfigReader) -> Result<ModelConfig, ValidationError> {
    let windows = read_windows(fields)?;
    llama_like::read(fields, &DEFAULTS, &FamilyOptions { qkv_bias: true, windows, ..FamilyOptions::default() })
}

/// Sliding window of each layer, the token itself included; `None`: full attention.
fn read_windows(fields: &ConfigReader) -> Result<Vec<Option<usize>>, ValidationError> {
    let layers = llama_like::num_layers(fields)?;
    let default = if fields.is_null("sliding_window") { None } else { Some(4096) };
    let window = fields.integer("sliding_window")?.or(default);
    let full_layers = fields.integer("max_window_layers")?.unwrap_or(28);
    let window = if fields.flag("use_sliding_window", false)? { window } else { None };
    let Some(types) = fields.get("layer_types") else {
        return Ok((0..layers).map(|layer| window.filter(|_| layer >= full_layers)).collect());
    };
    let Some(types) = types.as_array().filter(|types| types.len() == layers) else {
        let reason = format!("expected a list of {layers} strings, one for each layer, found {types}");
        return Err(ValidationError::new("layer_types", reason));
    };
    types.iter().enumerate().map(|(layer, kind)| layer_window(layer, kind, window)).collect()
}

/// The window of a layer with an entry in `layer_types`; `window` is the window of those that have one.
fn layer_window(layer: usize, kind: &Value, window: Option<usize>) -> Result<Option<usize>, ValidationError> {
    let reason = match kind.as_str() {
        Some("full_attention") => return Ok(None),
        Some("sliding_attention") if window.is_some() => return Ok(window),
        Some("sliding_attention") => {
            "sliding_attention needs a width in `sliding_window` and \"use_sliding_window\": true".into()
        }
        _ => format!("expected full_attention or sliding_attention, found {kind}"),
    };
    Err(ValidationError::new(format!("layer_types[{layer}]"), reason))
}

/// The `config.json` of a model. `sliding_window` is the first layer's that has one; all must be equal.
fn write(config: &ModelConfig) -> Result<Value, ValidationError> {
    let blocks = llama_like::match_llama_blocks(config)?;
    let mut json = llama_like::write(config, &blocks, DEFAULTS.rotary)?;
    let windows = &blocks.windows;
    let window = windows.iter().flatten().next();
    let types = windows.iter().map(|window| if window.is_some() { "sliding_attention" } else { "full_attention" });
    json["use_sliding_window"] = window.is_some().into();
    json["sliding_window"] = window.copied().into();
    json["max_window_layers"] = windows.iter().take_while(|window| window.is_none()).count().into();
    json["layer_types"] = types.collect::<Vec<_>>().into();
    Ok(json)
}
