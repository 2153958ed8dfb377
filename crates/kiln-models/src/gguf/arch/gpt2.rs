//! GPT-2. Hugging Face keeps its matrices `[in, out]`, llama.cpp `[out, in]`.

use super::{Architecture, Fields, Rule, same, sizes, turned};
use crate::gguf::{Metadata, Turn, Value};
use kiln_spec::Refusal;
use serde_json::{Value as Json, json};

pub(super) const ARCHITECTURE: Architecture =
    Architecture { name: "gpt2", config, metadata, also: &[], names: |_| NAMES.to_vec(), told: &[] };

const NAMES: [Rule; 10] = [
    same("token_embd", "transformer.wte"),
    same("position_embd", "transformer.wpe"),
    same("output_norm", "transformer.ln_f"),
    same("output", "lm_head"),
    same("blk.{}.attn_norm", "transformer.h.{}.ln_1"),
    turned("blk.{}.attn_qkv", "transformer.h.{}.attn.c_attn", Turn::Sides),
    turned("blk.{}.attn_output", "transformer.h.{}.attn.c_proj", Turn::Sides),
    same("blk.{}.ffn_norm", "transformer.h.{}.ln_2"),
    turned("blk.{}.ffn_up", "transformer.h.{}.mlp.c_fc", Turn::Sides),
    turned("blk.{}.ffn_down", "transformer.h.{}.mlp.c_proj", Turn::Sides),
];

fn config(fields: &Fields) -> Result<Json, Refusal> {
    let heads = fields.size("attention.head_count")?;
    fields.only("attention.head_count_kv", heads)?;
    fields.whole("context_length")?;
    fields.switched("attention.causal", true)?;
    Ok(json!({
        "vocab_size": fields.rows("token_embd.weight")?,
        "n_positions": fields.rows("position_embd.weight")?,
        "n_embd": fields.size("embedding_length")?,
        "n_inner": fields.size("feed_forward_length")?,
        "n_layer": fields.size("block_count")?,
        "n_head": heads,
        "layer_norm_epsilon": fields.number("attention.layer_norm_epsilon")?.unwrap_or(1e-5),
        "activation_function": "gelu_new",
        "tie_word_embeddings": !fields.has("output.weight"),
    }))
}

fn metadata(config: &Json) -> Result<Metadata, Refusal> {
    let mut metadata = sizes(
        config,
        &[
            ("context_length", "n_positions"),
            ("embedding_length", "n_embd"),
            ("feed_forward_length", "n_inner"),
            ("block_count", "n_layer"),
            ("attention.head_count", "n_head"),
        ],
    )?;
    let eps = config["layer_norm_epsilon"].as_f64().unwrap_or(1e-5);
    metadata.set("attention.layer_norm_epsilon", Value::F32(eps as f32));
    Ok(metadata)
}
