//! Llama, and Mistral under the same name.

use super::{Architecture, Fields, Rule, rope, same, sizes, turned};
use crate::gguf::{Metadata, Turn, Value};
use kiln_spec::Refusal;
use serde_json::{Value as Json, json};

pub(super) const ARCHITECTURE: Architecture = Architecture {
    name: "llama",
    config: biased,
    metadata,
    also: &["mistral"],
    names: |_| NAMES.to_vec(),
    told: &[rope::FREQUENCIES],
};

const NAMES: [Rule; 12] = [
    same("token_embd", "model.embed_tokens"),
    same("output_norm", "model.norm"),
    same("output", "lm_head"),
    same("blk.{}.attn_norm", "model.layers.{}.input_layernorm"),
    turned("blk.{}.attn_q", "model.layers.{}.self_attn.q_proj", Turn::Queries),
    turned("blk.{}.attn_k", "model.layers.{}.self_attn.k_proj", Turn::Keys),
    same("blk.{}.attn_v", "model.layers.{}.self_attn.v_proj"),
    same("blk.{}.attn_output", "model.layers.{}.self_attn.o_proj"),
    same("blk.{}.ffn_norm", "model.layers.{}.post_attention_layernorm"),
    same("blk.{}.ffn_gate", "model.layers.{}.mlp.gate_proj"),
    same("blk.{}.ffn_up", "model.layers.{}.mlp.up_proj"),
    same("blk.{}.ffn_down", "model.layers.{}.mlp.down_proj"),
];

/// With what Llama's own `config.json` says of biases.
fn biased(fields: &Fields) -> Result<Json, Refusal> {
    let mut config = config(fields)?;
    config["attention_bias"] = fields.has("blk.0.attn_q.bias").into();
    config["mlp_bias"] = fields.has("blk.0.ffn_up.bias").into();
    Ok(config)
}

/// `config.json` of Llama and its kin.
pub(super) fn config(fields: &Fields) -> Result<Json, Refusal> {
    let (hidden, heads) = (fields.size("embedding_length")?, fields.size("attention.head_count")?);
    let head_dim = fields.whole("attention.key_length")?.unwrap_or(hidden / heads);
    fields.only("attention.value_length", head_dim)?;
    fields.only("rope.dimension_count", head_dim)?;
    fields.switched("attention.causal", true)?;
    let mut config = json!({
        "vocab_size": fields.rows("token_embd.weight")?,
        "hidden_size": hidden,
        "intermediate_size": fields.size("feed_forward_length")?,
        "num_hidden_layers": fields.size("block_count")?,
        "num_attention_heads": heads,
        "num_key_value_heads": fields.whole("attention.head_count_kv")?.unwrap_or(heads),
        "head_dim": head_dim,
        "max_position_embeddings": fields.whole("context_length")?,
        "rms_norm_eps": fields.number("attention.layer_norm_rms_epsilon")?.unwrap_or(1e-6),
        "hidden_act": "silu",
        "tie_word_embeddings": !fields.has("output.weight"),
    });
    rope::read(fields, &mut config)?;
    Ok(config)
}

/// The reverse.
pub(super) fn metadata(config: &Json) -> Result<Metadata, Refusal> {
    let mut metadata = sizes(
        config,
        &[
            ("vocab_size", "vocab_size"),
            ("embedding_length", "hidden_size"),
            ("feed_forward_length", "intermediate_size"),
            ("block_count", "num_hidden_layers"),
            ("attention.head_count", "num_attention_heads"),
        ],
    )?;
    let whole = |key: &str| metadata.whole(key).map(Option::unwrap_or_default);
    let (hidden, heads) = (whole("embedding_length")?, whole("attention.head_count")?);
    let or = |key: &str, default: usize| config[key].as_u64().unwrap_or(default as u64) as u32;
    let head_dim = or("head_dim", hidden / heads.max(1));
    for (key, value) in [
        ("attention.head_count_kv", or("num_key_value_heads", heads)),
        ("attention.key_length", head_dim),
        ("attention.value_length", head_dim),
        ("rope.dimension_count", head_dim),
    ] {
        metadata.set(key, Value::U32(value));
    }
    let eps = config["rms_norm_eps"].as_f64().unwrap_or(1e-6);
    metadata.set("attention.layer_norm_rms_epsilon", Value::F32(eps as f32));
    match config["hidden_act"].as_str() {
        None | Some("silu") => {}
        Some(other) => return Err(Refusal::new("hidden_act", format!("GGUF files mean silu, found {other}"))),
    }
    if config["use_sliding_window"] == true && !config["sliding_window"].is_null() {
        let reason = "a GGUF file of this architecture has no windows: every layer would see the whole text";
        return Err(Refusal::new("use_sliding_window", reason).instead("the format `hf`, which keeps them"));
    }
    rope::write(config, &mut metadata)?;
    Ok(metadata)
}

/// The names, for architectures that turn nothing.
pub(super) const fn unturned() -> [Rule; 12] {
    let mut names = NAMES;
    let mut i = 0;
    while i < names.len() {
        names[i].turn = Turn::Same;
        i += 1;
    }
    names
}
