//! Phi-3 (2404.14219): Llama's form, with matrices that are fused in the file.

use super::{
    Family,
    fields::Fields,
    gated::{self, Defaults, Own},
    tie::{Cut, Tie},
};
use crate::config::ModelConfig;
use kiln_spec::Refusal;
use serde_json::Value;

pub(super) const FAMILY: Family = Family {
    name: "phi3",
    also: &[],
    architectures: &["Phi3ForCausalLM", "Phi3Model"],
    prefix: "model.",
    harmless: &["rotary_emb.inv_freq"],
    read,
    write,
    names,
};

const DEFAULTS: Defaults = Defaults { family: FAMILY.name, vocab: 32_064, inner: 8192, kv_heads: None };

fn read(json: &Value) -> Result<ModelConfig, Refusal> {
    let fields = Fields::of(FAMILY.name, json)?;
    fields.only("resid_pdrop", 0.0)?;
    fields.only("embd_pdrop", 0.0)?;
    let windows = vec![fields.whole("sliding_window")?; gated::layers(&fields)?];
    gated::read(&fields, &DEFAULTS, &Own { windows, ..Own::default() })
}

fn write(config: &ModelConfig) -> Result<Value, Refusal> {
    let found = gated::find(config)?;
    let mut json = gated::write(config, &found)?;
    json["sliding_window"] = found.windows[0].into();
    Ok(json)
}

/// Llama's names, but for what is fused: rows of q, then k, then v; rows of the gate, then of what it gates.
fn names(config: &ModelConfig) -> Vec<Tie> {
    let Ok(found) = gated::find(config) else { return Vec::new() };
    let (heads, inner) = (found.heads, found.feed_forward.inner.unwrap_or_default());
    let head_dim = heads.head_dim.unwrap_or(config.hidden / heads.heads);
    let [q, kv] = [heads.heads, heads.kv_heads.unwrap_or(heads.heads)].map(|heads| heads * head_dim);
    let fused = |tie: Tie| {
        let Some((before, part)) = tie.file.trim_end_matches("_proj.weight").rsplit_once('.') else { return tie };
        let (whole, cut) = match part {
            "q" => ("qkv", Cut::of(0, 0, q, q + 2 * kv)),
            "k" => ("qkv", Cut::of(0, q, kv, q + 2 * kv)),
            "v" => ("qkv", Cut::of(0, q + kv, kv, q + 2 * kv)),
            "gate" => ("gate_up", Cut::of(0, 0, inner, 2 * inner)),
            "up" => ("gate_up", Cut::of(0, inner, inner, 2 * inner)),
            _ => return tie,
        };
        let file = format!("{before}.{whole}_proj.weight");
        Tie { file, ..tie.cut(cut) }
    };
    gated::names(config).into_iter().map(fused).collect()
}
