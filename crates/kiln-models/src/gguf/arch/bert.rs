//! BERT, as files for embeddings hold it: without pooler and heads. RoBERTa is the same with positions that start at the
//! first.

use super::{Architecture, Fields, Rule, same, sizes};
use crate::gguf::{Metadata, Value};
use kiln_spec::Refusal;
use serde_json::{Value as Json, json};

pub(super) const ARCHITECTURE: Architecture = Architecture {
    name: "bert",
    config,
    metadata,
    also: &["roberta", "xlm-roberta", "camembert"],
    names: |_| NAMES.to_vec(),
    told: &[],
};

const NAMES: [Rule; 12] = [
    same("token_embd", "embeddings.word_embeddings"),
    same("position_embd", "embeddings.position_embeddings"),
    same("token_types", "embeddings.token_type_embeddings"),
    same("token_embd_norm", "embeddings.LayerNorm"),
    same("blk.{}.attn_q", "encoder.layer.{}.attention.self.query"),
    same("blk.{}.attn_k", "encoder.layer.{}.attention.self.key"),
    same("blk.{}.attn_v", "encoder.layer.{}.attention.self.value"),
    same("blk.{}.attn_output", "encoder.layer.{}.attention.output.dense"),
    same("blk.{}.attn_output_norm", "encoder.layer.{}.attention.output.LayerNorm"),
    same("blk.{}.ffn_up", "encoder.layer.{}.intermediate.dense"),
    same("blk.{}.ffn_down", "encoder.layer.{}.output.dense"),
    same("blk.{}.layer_output_norm", "encoder.layer.{}.output.LayerNorm"),
];

fn config(fields: &Fields) -> Result<Json, Refusal> {
    let heads = fields.size("attention.head_count")?;
    fields.only("attention.head_count_kv", heads)?;
    fields.whole("context_length")?;
    fields.switched("attention.causal", false)?;
    Ok(json!({
        "architectures": ["BertModel"],
        "vocab_size": fields.rows("token_embd.weight")?,
        "hidden_size": fields.size("embedding_length")?,
        "intermediate_size": fields.size("feed_forward_length")?,
        "num_hidden_layers": fields.size("block_count")?,
        "num_attention_heads": heads,
        "max_position_embeddings": fields.rows("position_embd.weight")?,
        "type_vocab_size": fields.rows("token_types.weight")?,
        "layer_norm_eps": fields.number("attention.layer_norm_epsilon")?.unwrap_or(1e-12),
        "hidden_act": "gelu",
    }))
}

fn metadata(config: &Json) -> Result<Metadata, Refusal> {
    let mut metadata = sizes(
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
        let before = config["pad_token_id"].as_u64().unwrap_or(1) as usize + 1;
        let all = metadata.whole("context_length")?.unwrap_or_default();
        metadata.set("context_length", Value::U32(all.saturating_sub(before) as u32));
    }
    let eps = config["layer_norm_eps"].as_f64().unwrap_or(1e-12);
    metadata.set("attention.layer_norm_epsilon", Value::F32(eps as f32));
    metadata.set("attention.causal", Value::Bool(false));
    Ok(metadata)
}
