//! Mistral (2310.06825): the form of Llama with a sliding window in all layers.
//!
//! `sliding_window` counts the token itself; `null` is full attention, an absent key 4096. Reference:
//! `modeling_mistral.py` of transformers.

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
    name: "mistral",
    aliases: &[],
    architectures: &["MistralForCausalLM", "MistralModel"],
    prefix: "model.",
    // Rotary frequencies, which older files contain; Kiln computes them.
    ignored_suffixes: &["rotary_emb.inv_freq"],
    read_config: read,
    write_config: write,
    bindings: llama_like::bindings,
};

const DEFAULTS: Defaults = Defaults {
    vocab: 32_000,
    hidden: 4096,
    intermediate: 14_336,
    kv_heads: Some(8),
    eps: 1e-6,
    max_length: 131_072,
    rotary: RotaryClass::Scaled,
};

fn read(fields: &ConfigReader) -> Result<ModelConfig, ValidationError> {
    let default = if fields.is_null("sliding_window") { None } else { Some(4096) };
    let window = fields.integer("sliding_window")?.or(default);
    let windows = vec![window; llama_like::num_layers(fields)?];
    llama_like::read(fields, &DEFAULTS, &FamilyOptions { windows, ..FamilyOptions::default() })
}

fn write(config: &ModelConfig) -> Result<Value, ValidationError> {
    let blocks = llama_like::match_llama_blocks(config)?;
    let mut json = llama_like::write(config, &blocks, DEFAULTS.rotary)?;
    json["sliding_window"] = blocks.windows[0].into();
    Ok(json)
}
