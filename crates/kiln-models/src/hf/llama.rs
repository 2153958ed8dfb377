//! Llama (2302.13971, 2307.09288, 2407.21783): RMS norms, rotary positions, grouped queries, a gated feed-forward.

use super::{
    Family,
    config_reader::ConfigReader,
    llama_like::{self, Defaults, FamilyOptions},
};
use crate::config::ModelConfig;
use kiln_spec::ValidationError;
use serde_json::Value;

pub(super) const FAMILY: Family = Family {
    name: "llama",
    aliases: &[],
    architectures: &["LlamaForCausalLM", "LlamaModel"],
    prefix: "model.",
    ignored_suffixes: &["rotary_emb.inv_freq"],
    read_config: read,
    write_config: write,
    bindings: llama_like::bindings,
};

const DEFAULTS: Defaults = Defaults { family: FAMILY.name, vocab: 32_000, intermediate: 11_008, kv_heads: None };

fn read(json: &Value) -> Result<ModelConfig, ValidationError> {
    let fields = ConfigReader::new(FAMILY.name, json)?;
    let bias = fields.flag("attention_bias", false)?;
    let mlp_bias = fields.flag("mlp_bias", false)?;
    let windows = vec![None; llama_like::num_layers(&fields)?];
    llama_like::read(&fields, &DEFAULTS, &FamilyOptions { qkv_bias: bias, out_bias: bias, mlp_bias, windows })
}

fn write(config: &ModelConfig) -> Result<Value, ValidationError> {
    let found = llama_like::match_llama_blocks(config)?;
    let mut json = llama_like::write(config, &found)?;
    json["attention_bias"] = found.heads.bias.into();
    json["mlp_bias"] = found.feed_forward.bias.into();
    Ok(json)
}
