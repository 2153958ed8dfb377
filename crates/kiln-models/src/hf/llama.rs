//! Llama (2302.13971), Llama 2 (2307.09288), Llama 3 (2407.21783): decoder with RMSNorm, rotary positions, grouped-query
//! attention and a gated MLP.
//!
//! The form is that of `llama_like`. Options of its own: `attention_bias` (all four projections) and `mlp_bias`. Reference:
//! `modeling_llama.py` of transformers.

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
    name: "llama",
    aliases: &[],
    architectures: &["LlamaForCausalLM", "LlamaModel"],
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
    intermediate: 11_008,
    kv_heads: None,
    eps: 1e-6,
    max_length: 2048,
    rotary: RotaryClass::Scaled,
};

fn read(fields: &ConfigReader) -> Result<ModelConfig, ValidationError> {
    let attention_bias = fields.flag("attention_bias", false)?;
    let options = FamilyOptions {
        qkv_bias: attention_bias,
        out_bias: attention_bias,
        mlp_bias: fields.flag("mlp_bias", false)?,
        windows: vec![None; llama_like::num_layers(fields)?],
    };
    llama_like::read(fields, &DEFAULTS, &options)
}

fn write(config: &ModelConfig) -> Result<Value, ValidationError> {
    let blocks = llama_like::match_llama_blocks(config)?;
    let mut json = llama_like::write(config, &blocks, DEFAULTS.rotary)?;
    json["attention_bias"] = blocks.heads.bias.into();
    json["mlp_bias"] = blocks.mlp.bias.into();
    Ok(json)
}
