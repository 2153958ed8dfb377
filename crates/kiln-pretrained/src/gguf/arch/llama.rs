//! `llama`: Llama, and Mistral under the same name.
//!
//! The rows of q and k are permuted (see [`RowPermutation`]). Biases exist if their tensors do; the first layer decides.
//!
//! | metadata | `config.json` |
//! |---|---|
//! | `embedding_length`, `feed_forward_length`, `block_count` | `hidden_size`, `intermediate_size`, `num_hidden_layers` |
//! | `attention.head_count`, `attention.head_count_kv` | `num_attention_heads`, `num_key_value_heads` |
//! | `attention.key_length`, `attention.value_length`, `rope.dimension_count` | `head_dim`: all equal |
//! | `attention.layer_norm_rms_epsilon` | `rms_norm_eps` (default 1e-6) |
//! | `context_length` | `max_position_embeddings` |
//! | `rope.*`, the tensor `rope_freqs.weight` | `rope_theta`, `rope_scaling` |
//! | no tensor `output.weight` | `tie_word_embeddings` |
//! | none | `hidden_act`: `silu`; a model with sliding windows is refused |

use super::{Architecture, MetadataReader, NameRule, permuted_rule, plain_rule, rope, size_metadata};
use crate::gguf::{Metadata, RowPermutation, Value};
use kiln_spec::ValidationError;
use serde_json::{Value as Json, json};

pub(super) const ARCHITECTURE: Architecture = Architecture {
    name: "llama",
    to_config_json: config_with_biases,
    to_metadata: metadata,
    aliases: &["mistral"],
    name_rules: |_| NAME_RULES.to_vec(),
    derived_tensors: &[rope::ROPE_FREQS_TENSOR],
};

/// Names of Llama's tensors; the rows of q and k are permuted.
const NAME_RULES: [NameRule; 12] = [
    plain_rule("token_embd", "model.embed_tokens"),
    plain_rule("output_norm", "model.norm"),
    plain_rule("output", "lm_head"),
    plain_rule("blk.{}.attn_norm", "model.layers.{}.input_layernorm"),
    permuted_rule("blk.{}.attn_q", "model.layers.{}.self_attn.q_proj", RowPermutation::QueryHeads),
    permuted_rule("blk.{}.attn_k", "model.layers.{}.self_attn.k_proj", RowPermutation::KeyHeads),
    plain_rule("blk.{}.attn_v", "model.layers.{}.self_attn.v_proj"),
    plain_rule("blk.{}.attn_output", "model.layers.{}.self_attn.o_proj"),
    plain_rule("blk.{}.ffn_norm", "model.layers.{}.post_attention_layernorm"),
    plain_rule("blk.{}.ffn_gate", "model.layers.{}.mlp.gate_proj"),
    plain_rule("blk.{}.ffn_up", "model.layers.{}.mlp.up_proj"),
    plain_rule("blk.{}.ffn_down", "model.layers.{}.mlp.down_proj"),
];

/// The `config.json` of a Llama, with its keys for biases.
fn config_with_biases(fields: &MetadataReader) -> Result<Json, ValidationError> {
    let mut config = config(fields)?;
    config["attention_bias"] = fields.has_tensor("blk.0.attn_q.bias").into();
    config["mlp_bias"] = fields.has_tensor("blk.0.ffn_up.bias").into();
    Ok(config)
}

/// The `config.json` of architectures like Llama.
pub(super) fn config(fields: &MetadataReader) -> Result<Json, ValidationError> {
    let hidden = fields.size("embedding_length")?;
    let heads = fields.size("attention.head_count")?;
    let head_dim = fields.integer("attention.key_length")?.unwrap_or(hidden / heads);
    fields.require("attention.value_length", head_dim)?;
    fields.require("rope.dimension_count", head_dim)?;
    fields.require_flag("attention.causal", true)?;
    let mut config = json!({
        "vocab_size": fields.num_rows("token_embd.weight")?,
        "hidden_size": hidden,
        "intermediate_size": fields.size("feed_forward_length")?,
        "num_hidden_layers": fields.size("block_count")?,
        "num_attention_heads": heads,
        "num_key_value_heads": fields.integer("attention.head_count_kv")?.unwrap_or(heads),
        "head_dim": head_dim,
        "max_position_embeddings": fields.integer("context_length")?,
        "rms_norm_eps": fields.float("attention.layer_norm_rms_epsilon")?.unwrap_or(1e-6),
        "hidden_act": "silu",
        "tie_word_embeddings": !fields.has_tensor("output.weight"),
    });
    rope::read(fields, &mut config)?;
    Ok(config)
}

/// The metadata of architectures like Llama.
///
/// # Errors
/// If a size is missing, the activation is not silu, the model has sliding windows, or its rotary scaling has no
/// counterpart.
pub(super) fn metadata(config: &Json) -> Result<Metadata, ValidationError> {
    let mut metadata = size_metadata(
        config,
        &[
            ("vocab_size", "vocab_size"),
            ("embedding_length", "hidden_size"),
            ("feed_forward_length", "intermediate_size"),
            ("block_count", "num_hidden_layers"),
            ("attention.head_count", "num_attention_heads"),
        ],
    )?;
    let hidden = metadata.integer("embedding_length")?.unwrap_or_default();
    let heads = metadata.integer("attention.head_count")?.unwrap_or_default();
    let head_dim = size_or(config, "head_dim", hidden / heads.max(1));
    for (key, value) in [
        ("attention.head_count_kv", size_or(config, "num_key_value_heads", heads)),
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
        Some(other) => {
            return Err(ValidationError::new(
                "hidden_act",
                format!("a GGUF file of this architecture always uses the activation silu, found {other}"),
            ));
        }
    }
    if config["use_sliding_window"] == true && !config["sliding_window"].is_null() {
        let reason =
            "a GGUF file of this architecture cannot store sliding windows; every layer would attend to the whole text";
        return Err(
            ValidationError::new("use_sliding_window", reason).with_suggestion("use --format hf, which keeps them")
        );
    }
    rope::write(config, &mut metadata)?;
    Ok(metadata)
}

/// A size of `config.json`, or its default.
fn size_or(config: &Json, key: &str, default: usize) -> u32 {
    config[key].as_u64().unwrap_or(default as u64) as u32
}

/// Llama's names, for architectures whose rows are the same in both formats.
pub(super) const fn unpermuted_rules() -> [NameRule; 12] {
    let mut rules = NAME_RULES;
    let mut i = 0;
    while i < rules.len() {
        rules[i].permutation = RowPermutation::Identity;
        i += 1;
    }
    rules
}
