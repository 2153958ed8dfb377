//! `gpt2`: GPT-2.
//!
//! The linear weights are `[in, out]` in the Hugging Face format (PyTorch's `Conv1D`) and `[out, in]` in GGUF, so that
//! they are transposed. Attention is one fused matrix for q, k and v in both formats. The position table has one row for
//! each position; its number of rows is the context length.
//!
//! | metadata | `config.json` |
//! |---|---|
//! | `embedding_length`, `feed_forward_length` | `n_embd`, `n_inner` |
//! | `block_count`, `attention.head_count` | `n_layer`, `n_head` |
//! | rows of `position_embd.weight` | `n_positions` |
//! | none | `activation_function`: `gelu_new` |

use super::{Architecture, MetadataReader, NameRule, permuted_rule, plain_rule, size_metadata};
use crate::gguf::{Metadata, RowPermutation, Value};
use kiln_spec::ValidationError;
use serde_json::{Value as Json, json};

pub(super) const ARCHITECTURE: Architecture = Architecture {
    name: "gpt2",
    to_config_json: config,
    to_metadata: metadata,
    aliases: &[],
    name_rules: |_| NAME_RULES.to_vec(),
    derived_tensors: &[],
};

/// Names of GPT-2's tensors; those with a linear weight are transposed.
const NAME_RULES: [NameRule; 10] = [
    plain_rule("token_embd", "transformer.wte"),
    plain_rule("position_embd", "transformer.wpe"),
    plain_rule("output_norm", "transformer.ln_f"),
    plain_rule("output", "lm_head"),
    plain_rule("blk.{}.attn_norm", "transformer.h.{}.ln_1"),
    permuted_rule("blk.{}.attn_qkv", "transformer.h.{}.attn.c_attn", RowPermutation::Transpose),
    permuted_rule("blk.{}.attn_output", "transformer.h.{}.attn.c_proj", RowPermutation::Transpose),
    plain_rule("blk.{}.ffn_norm", "transformer.h.{}.ln_2"),
    permuted_rule("blk.{}.ffn_up", "transformer.h.{}.mlp.c_fc", RowPermutation::Transpose),
    permuted_rule("blk.{}.ffn_down", "transformer.h.{}.mlp.c_proj", RowPermutation::Transpose),
];

/// The `config.json` of a GPT-2.
fn config(fields: &MetadataReader) -> Result<Json, ValidationError> {
    let heads = fields.size("attention.head_count")?;
    fields.require("attention.head_count_kv", heads)?;
    fields.integer("context_length")?;
    fields.require_flag("attention.causal", true)?;
    Ok(json!({
        "vocab_size": fields.num_rows("token_embd.weight")?,
        "n_positions": fields.num_rows("position_embd.weight")?,
        "n_embd": fields.size("embedding_length")?,
        "n_inner": fields.size("feed_forward_length")?,
        "n_layer": fields.size("block_count")?,
        "n_head": heads,
        "layer_norm_epsilon": fields.float("attention.layer_norm_epsilon")?.unwrap_or(1e-5),
        "activation_function": "gelu_new",
        "tie_word_embeddings": !fields.has_tensor("output.weight"),
    }))
}

/// The metadata of a GPT-2.
fn metadata(config: &Json) -> Result<Metadata, ValidationError> {
    let mut metadata = size_metadata(
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
