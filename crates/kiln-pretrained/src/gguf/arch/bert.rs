//! `bert`: BERT encoders for embeddings, without pooler and heads.
//!
//! RoBERTa is written as BERT: its position table loses the rows before the first position (`pad_token_id` + 1), so that
//! positions count from 0 in the file.
//!
//! | metadata | `config.json` |
//! |---|---|
//! | rows of `token_embd.weight`, `position_embd.weight`, `token_types.weight` | `vocab_size`, `max_position_embeddings`, `type_vocab_size` |
//! | `embedding_length`, `feed_forward_length`, `block_count` | `hidden_size`, `intermediate_size`, `num_hidden_layers` |
//! | `attention.head_count` | `num_attention_heads` |
//! | `attention.layer_norm_epsilon` | `layer_norm_eps` (default 1e-12) |
//! | `attention.causal` = false | |
//! | `pooling_type` | the pooling of sentence-transformers (see [`GgufFile::pooling`](crate::gguf::GgufFile::pooling)) |

use super::{Architecture, MetadataReader, NameRule, plain_rule, size_metadata};
use crate::gguf::{Metadata, Value};
use kiln_spec::ValidationError;
use serde_json::{Value as Json, json};

pub(super) const ARCHITECTURE: Architecture = Architecture {
    name: "bert",
    to_config_json: config,
    to_metadata: metadata,
    aliases: &["roberta", "xlm-roberta", "camembert"],
    name_rules: |_| NAME_RULES.to_vec(),
    derived_tensors: &[],
};

/// Names of BERT's tensors, without the prefix `bert.` of models with a head.
const NAME_RULES: [NameRule; 12] = [
    plain_rule("token_embd", "embeddings.word_embeddings"),
    plain_rule("position_embd", "embeddings.position_embeddings"),
    plain_rule("token_types", "embeddings.token_type_embeddings"),
    plain_rule("token_embd_norm", "embeddings.LayerNorm"),
    plain_rule("blk.{}.attn_q", "encoder.layer.{}.attention.self.query"),
    plain_rule("blk.{}.attn_k", "encoder.layer.{}.attention.self.key"),
    plain_rule("blk.{}.attn_v", "encoder.layer.{}.attention.self.value"),
    plain_rule("blk.{}.attn_output", "encoder.layer.{}.attention.output.dense"),
    plain_rule("blk.{}.attn_output_norm", "encoder.layer.{}.attention.output.LayerNorm"),
    plain_rule("blk.{}.ffn_up", "encoder.layer.{}.intermediate.dense"),
    plain_rule("blk.{}.ffn_down", "encoder.layer.{}.output.dense"),
    plain_rule("blk.{}.layer_output_norm", "encoder.layer.{}.output.LayerNorm"),
];

/// The `config.json` of a BERT.
fn config(fields: &MetadataReader) -> Result<Json, ValidationError> {
    let heads = fields.size("attention.head_count")?;
    fields.require("attention.head_count_kv", heads)?;
    fields.integer("context_length")?;
    fields.require_flag("attention.causal", false)?;
    Ok(json!({
        "architectures": ["BertModel"],
        "vocab_size": fields.num_rows("token_embd.weight")?,
        "hidden_size": fields.size("embedding_length")?,
        "intermediate_size": fields.size("feed_forward_length")?,
        "num_hidden_layers": fields.size("block_count")?,
        "num_attention_heads": heads,
        "max_position_embeddings": fields.num_rows("position_embd.weight")?,
        "type_vocab_size": fields.num_rows("token_types.weight")?,
        "layer_norm_eps": fields.float("attention.layer_norm_epsilon")?.unwrap_or(1e-12),
        "hidden_act": "gelu",
    }))
}

/// The metadata of a BERT or RoBERTa.
fn metadata(config: &Json) -> Result<Metadata, ValidationError> {
    let mut metadata = size_metadata(
        config,
        &[
            ("context_length", "max_position_embeddings"),
            ("embedding_length", "hidden_size"),
            ("feed_forward_length", "intermediate_size"),
            ("block_count", "num_hidden_layers"),
            ("attention.head_count", "num_attention_heads"),
        ],
    )?;
    if config["model_type"] != ARCHITECTURE.name {
        // RoBERTa's positions start behind the padding id, and its table has rows for the positions before.
        let unused_rows = config["pad_token_id"].as_u64().unwrap_or(1) as usize + 1;
        let rows = metadata.integer("context_length")?.unwrap_or_default();
        metadata.set("context_length", Value::U32(rows.saturating_sub(unused_rows) as u32));
    }
    let eps = config["layer_norm_eps"].as_f64().unwrap_or(1e-12);
    metadata.set("attention.layer_norm_epsilon", Value::F32(eps as f32));
    metadata.set("attention.causal", Value::Bool(false));
    Ok(metadata)
}
