//! Llama (2302.13971, 2307.09288, 2407.21783): RMS norms, rotary positions, grouped queries, a gated feed-forward.

use super::{
    Family,
    fields::Fields,
    gated::{self, Defaults, Own},
};
use crate::config::ModelConfig;
use kiln_spec::Refusal;
use serde_json::Value;

pub(super) const FAMILY: Family = Family {
    name: "llama",
    also: &[],
    architectures: &["LlamaForCausalLM", "LlamaModel"],
    prefix: "model.",
    harmless: &["rotary_emb.inv_freq"],
    read,
    write,
    names: gated::names,
};

const DEFAULTS: Defaults = Defaults { family: FAMILY.name, vocab: 32_000, inner: 11_008, kv_heads: None };

fn read(json: &Value) -> Result<ModelConfig, Refusal> {
    let fields = Fields::of(FAMILY.name, json)?;
    let bias = fields.flag("attention_bias", false)?;
    let mlp_bias = fields.flag("mlp_bias", false)?;
    let windows = vec![None; gated::layers(&fields)?];
    gated::read(&fields, &DEFAULTS, &Own { bias, out_bias: bias, mlp_bias, windows })
}

fn write(config: &ModelConfig) -> Result<Value, Refusal> {
    let found = gated::find(config)?;
    let mut json = gated::write(config, &found)?;
    json["attention_bias"] = found.heads.bias.into();
    json["mlp_bias"] = found.feed_forward.bias.into();
    Ok(json)
}
