//! T5: an encoder and a decoder; biases of positions are in the first layer of each.

use super::{Architecture, Fields, Rule, same, sizes};
use crate::gguf::{Metadata, Value};
use kiln_spec::Refusal;
use serde_json::{Value as Json, json};

pub(super) const ARCHITECTURE: Architecture =
    Architecture { name: "t5", config, metadata, also: &["mt5"], names, told: &[] };

const NAMES: [Rule; 27] = [
    same("token_embd", "shared"),
    same("output", "lm_head"),
    same("enc.output_norm", "encoder.final_layer_norm"),
    same("enc.blk.{}.attn_norm", "encoder.block.{}.layer.0.layer_norm"),
    same("enc.blk.{}.attn_q", "encoder.block.{}.layer.0.SelfAttention.q"),
    same("enc.blk.{}.attn_k", "encoder.block.{}.layer.0.SelfAttention.k"),
    same("enc.blk.{}.attn_v", "encoder.block.{}.layer.0.SelfAttention.v"),
    same("enc.blk.{}.attn_o", "encoder.block.{}.layer.0.SelfAttention.o"),
    same("enc.blk.{}.attn_rel_b", "encoder.block.{}.layer.0.SelfAttention.relative_attention_bias"),
    same("enc.blk.{}.ffn_norm", "encoder.block.{}.layer.1.layer_norm"),
    same("enc.blk.{}.ffn_gate", "encoder.block.{}.layer.1.DenseReluDense.wi_0"),
    same("enc.blk.{}.ffn_down", "encoder.block.{}.layer.1.DenseReluDense.wo"),
    same("dec.output_norm", "decoder.final_layer_norm"),
    same("dec.blk.{}.attn_norm", "decoder.block.{}.layer.0.layer_norm"),
    same("dec.blk.{}.attn_q", "decoder.block.{}.layer.0.SelfAttention.q"),
    same("dec.blk.{}.attn_k", "decoder.block.{}.layer.0.SelfAttention.k"),
    same("dec.blk.{}.attn_v", "decoder.block.{}.layer.0.SelfAttention.v"),
    same("dec.blk.{}.attn_o", "decoder.block.{}.layer.0.SelfAttention.o"),
    same("dec.blk.{}.attn_rel_b", "decoder.block.{}.layer.0.SelfAttention.relative_attention_bias"),
    same("dec.blk.{}.cross_attn_norm", "decoder.block.{}.layer.1.layer_norm"),
    same("dec.blk.{}.cross_attn_q", "decoder.block.{}.layer.1.EncDecAttention.q"),
    same("dec.blk.{}.cross_attn_k", "decoder.block.{}.layer.1.EncDecAttention.k"),
    same("dec.blk.{}.cross_attn_v", "decoder.block.{}.layer.1.EncDecAttention.v"),
    same("dec.blk.{}.cross_attn_o", "decoder.block.{}.layer.1.EncDecAttention.o"),
    same("dec.blk.{}.ffn_norm", "decoder.block.{}.layer.2.layer_norm"),
    same("dec.blk.{}.ffn_gate", "decoder.block.{}.layer.2.DenseReluDense.wi_0"),
    same("dec.blk.{}.ffn_down", "decoder.block.{}.layer.2.DenseReluDense.wo"),
];

/// The first matrix is called another way where a gate stands beside it.
fn names(gated: bool) -> Vec<Rule> {
    let up = match gated {
        true => ["encoder.block.{}.layer.1.DenseReluDense.wi_1", "decoder.block.{}.layer.2.DenseReluDense.wi_1"],
        false => ["encoder.block.{}.layer.1.DenseReluDense.wi", "decoder.block.{}.layer.2.DenseReluDense.wi"],
    };
    let more = [same("enc.blk.{}.ffn_up", up[0]), same("dec.blk.{}.ffn_up", up[1])];
    NAMES.into_iter().chain(more).collect()
}

fn config(fields: &Fields) -> Result<Json, Refusal> {
    let layers = fields.size("block_count")?;
    let heads = fields.size("attention.head_count")?;
    fields.only("attention.head_count_kv", heads)?;
    let width = fields.size("attention.key_length")?;
    fields.only("attention.value_length", width)?;
    // The norm is an RMS norm; files say its ε under both names.
    let eps = fields.number("attention.layer_norm_rms_epsilon")?;
    let eps = eps.or(fields.number("attention.layer_norm_epsilon")?).unwrap_or(1e-6);
    let start = fields.whole("decoder_start_token_id")?;
    let gated = fields.has("enc.blk.0.ffn_gate.weight");
    Ok(json!({
        "vocab_size": fields.rows("token_embd.weight")?,
        "n_positions": fields.whole("context_length")?,
        "d_model": fields.size("embedding_length")?,
        "d_kv": width,
        "d_ff": fields.size("feed_forward_length")?,
        "num_layers": layers,
        "num_decoder_layers": fields.whole("decoder_block_count")?.unwrap_or(layers),
        "num_heads": heads,
        "relative_attention_num_buckets": fields.size("attention.relative_buckets_count")?,
        "relative_attention_max_distance": 128,
        "layer_norm_epsilon": eps,
        "feed_forward_proj": if gated { "gated-gelu" } else { "relu" },
        "decoder_start_token_id": start.unwrap_or(0),
        "tie_word_embeddings": !fields.has("output.weight"),
    }))
}

fn metadata(config: &Json) -> Result<Metadata, Refusal> {
    let mut metadata = sizes(
        config,
        &[
            ("embedding_length", "d_model"),
            ("feed_forward_length", "d_ff"),
            ("block_count", "num_layers"),
            ("decoder_block_count", "num_decoder_layers"),
            ("attention.head_count", "num_heads"),
            ("attention.key_length", "d_kv"),
            ("attention.value_length", "d_kv"),
            ("attention.relative_buckets_count", "relative_attention_num_buckets"),
            ("decoder_start_token_id", "decoder_start_token_id"),
        ],
    )?;
    // As other programs take it where the file that they know from doesn't say.
    metadata.set("context_length", Value::U32(config["n_positions"].as_u64().unwrap_or(512) as u32));
    let eps = config["layer_norm_epsilon"].as_f64().unwrap_or(1e-6);
    for key in ["attention.layer_norm_epsilon", "attention.layer_norm_rms_epsilon"] {
        metadata.set(key, Value::F32(eps as f32));
    }
    Ok(metadata)
}
