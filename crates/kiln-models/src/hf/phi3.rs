//! Phi-3 (2404.14219): Llama's form, with matrices that are fused in the file.

use super::{
    Family,
    binding::{Binding, Slice},
    config_reader::ConfigReader,
    llama_like::{self, Defaults, FamilyOptions},
};
use crate::config::ModelConfig;
use kiln_spec::ValidationError;
use serde_json::Value;

pub(super) const FAMILY: Family = Family {
    name: "phi3",
    aliases: &[],
    architectures: &["Phi3ForCausalLM", "Phi3Model"],
    prefix: "model.",
    ignored_suffixes: &["rotary_emb.inv_freq"],
    read_config: read,
    write_config: write,
    bindings,
};

const DEFAULTS: Defaults = Defaults { family: FAMILY.name, vocab: 32_064, intermediate: 8192, kv_heads: None };

fn read(json: &Value) -> Result<ModelConfig, ValidationError> {
    let fields = ConfigReader::new(FAMILY.name, json)?;
    fields.require("resid_pdrop", 0.0)?;
    fields.require("embd_pdrop", 0.0)?;
    let windows = vec![fields.integer("sliding_window")?; llama_like::num_layers(&fields)?];
    llama_like::read(&fields, &DEFAULTS, &FamilyOptions { windows, ..FamilyOptions::default() })
}

fn write(config: &ModelConfig) -> Result<Value, ValidationError> {
    let found = llama_like::match_llama_blocks(config)?;
    let mut json = llama_like::write(config, &found)?;
    json["sliding_window"] = found.windows[0].into();
    Ok(json)
}

/// Llama's names, but for what is fused: rows of q, then k, then v; rows of the gate, then of what it gates.
fn bindings(config: &ModelConfig) -> Vec<Binding> {
    let Ok(found) = llama_like::match_llama_blocks(config) else { return Vec::new() };
    let (heads, inner) = (found.heads, found.feed_forward.intermediate.unwrap_or_default());
    let head_dim = heads.head_dim.unwrap_or(config.hidden / heads.heads);
    let [q, kv] = [heads.heads, heads.kv_heads.unwrap_or(heads.heads)].map(|heads| heads * head_dim);
    let fused = |tie: Binding| {
        let Some((before, part)) = tie.tensor.trim_end_matches("_proj.weight").rsplit_once('.') else { return tie };
        let (whole, cut) = match part {
            "q" => ("qkv", Slice::contiguous(0, 0, q, q + 2 * kv)),
            "k" => ("qkv", Slice::contiguous(0, q, kv, q + 2 * kv)),
            "v" => ("qkv", Slice::contiguous(0, q + kv, kv, q + 2 * kv)),
            "gate" => ("gate_up", Slice::contiguous(0, 0, inner, 2 * inner)),
            "up" => ("gate_up", Slice::contiguous(0, inner, inner, 2 * inner)),
            _ => return tie,
        };
        let file = format!("{before}.{whole}_proj.weight");
        Binding { tensor: file, ..tie.with_slice(cut) }
    };
    llama_like::bindings(config).into_iter().map(fused).collect()
}
