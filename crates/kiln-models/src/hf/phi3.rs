//! Phi-3 (2404.14219): the form of Llama with fused matrices in the file.
//!
//! `qkv_proj` has the rows of q, then k, then v; `gate_up_proj` those of the gate, then of the up-projection. Reference:
//! `modeling_phi3.py` of transformers.

use super::{
    Family,
    binding::{Binding, Slice},
    config_reader::ConfigReader,
    llama_like::{self, Defaults, FamilyOptions},
    rope::RotaryClass,
};
use crate::config::ModelConfig;
use kiln_spec::ValidationError;
use serde_json::Value;

pub(super) const FAMILY: Family = Family {
    name: "phi3",
    aliases: &[],
    architectures: &["Phi3ForCausalLM", "Phi3Model"],
    prefix: "model.",
    // Rotary frequencies, which older files contain; Kiln computes them.
    ignored_suffixes: &["rotary_emb.inv_freq"],
    read_config: read,
    write_config: write,
    bindings,
};

const DEFAULTS: Defaults = Defaults {
    vocab: 32_064,
    hidden: 3072,
    intermediate: 8192,
    kv_heads: None,
    eps: 1e-5,
    max_length: 4096,
    rotary: RotaryClass::Partial,
};

fn read(fields: &ConfigReader) -> Result<ModelConfig, ValidationError> {
    fields.ignore_dropout("resid_pdrop")?;
    fields.ignore_dropout("embd_pdrop")?;
    let windows = vec![fields.integer("sliding_window")?; llama_like::num_layers(fields)?];
    llama_like::read(fields, &DEFAULTS, &FamilyOptions { windows, ..FamilyOptions::default() })
}

fn write(config: &ModelConfig) -> Result<Value, ValidationError> {
    let blocks = llama_like::match_llama_blocks(config)?;
    let mut json = llama_like::write(config, &blocks, DEFAULTS.rotary)?;
    json["sliding_window"] = blocks.windows[0].into();
    Ok(json)
}

/// Llama's bindings, with slices of the fused tensors in place of `q_proj`, `k_proj`, `v_proj`, `gate_proj`, `up_proj`.
fn bindings(config: &ModelConfig) -> Vec<Binding> {
    let Ok(blocks) = llama_like::match_llama_blocks(config) else { return Vec::new() };
    let heads = blocks.heads;
    let head_dim = heads.head_dim.unwrap_or(config.hidden / heads.heads);
    let q = heads.heads * head_dim;
    let kv = heads.kv_heads.unwrap_or(heads.heads) * head_dim;
    let mlp = blocks.mlp.intermediate.unwrap_or_default();
    let bindings = llama_like::bindings(config).into_iter();
    bindings.map(|binding| fuse(binding, [q, kv, mlp])).collect()
}

/// The binding as a slice of its fused tensor, if it is a part of one. `q`, `kv` and `mlp` are numbers of rows.
fn fuse(binding: Binding, [q, kv, mlp]: [usize; 3]) -> Binding {
    let name = binding.tensor.trim_end_matches("_proj.weight");
    let Some((prefix, matrix)) = name.rsplit_once('.') else { return binding };
    let (fused, slice) = match matrix {
        "q" => ("qkv", Slice::contiguous(0, 0, q, q + 2 * kv)),
        "k" => ("qkv", Slice::contiguous(0, q, kv, q + 2 * kv)),
        "v" => ("qkv", Slice::contiguous(0, q + kv, kv, q + 2 * kv)),
        "gate" => ("gate_up", Slice::contiguous(0, 0, mlp, 2 * mlp)),
        "up" => ("gate_up", Slice::contiguous(0, mlp, mlp, 2 * mlp)),
        _ => return binding,
    };
    let tensor = format!("{prefix}.{fused}_proj.weight");
    Binding { tensor, ..binding.with_slice(slice) }
}
