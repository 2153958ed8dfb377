//! Mistral (2310.06825): Llama's form with a window.

use super::{
    Family,
    fields::Fields,
    gated::{self, Defaults, Own},
};
use crate::config::ModelConfig;
use kiln_spec::Refusal;
use serde_json::Value;

pub(super) const FAMILY: Family = Family {
    name: "mistral",
    also: &[],
    architectures: &["MistralForCausalLM", "MistralModel"],
    prefix: "model.",
    harmless: &["rotary_emb.inv_freq"],
    read,
    write,
    names: gated::names,
};

const DEFAULTS: Defaults = Defaults { family: FAMILY.name, vocab: 32_000, inner: 14_336, kv_heads: Some(8) };

fn read(json: &Value) -> Result<ModelConfig, Refusal> {
    let fields = Fields::of(FAMILY.name, json)?;
    let default = if fields.is_null("sliding_window") { None } else { Some(4096) };
    let window = fields.whole("sliding_window")?.or(default);
    let windows = vec![window; gated::layers(&fields)?];
    gated::read(&fields, &DEFAULTS, &Own { windows, ..Own::default() })
}

fn write(config: &ModelConfig) -> Result<Value, Refusal> {
    let found = gated::find(config)?;
    let mut json = gated::write(config, &found)?;
    json["sliding_window"] = found.windows[0].into();
    Ok(json)
}
