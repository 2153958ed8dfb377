//! `t5`: T5 and mT5, encoder and decoder.
//!
//! Tensors of the encoder begin with `enc.`, those of the decoder with `dec.`. The relative position biases
//! (`attn_rel_b`, `[buckets, heads]`) are in the first layer of each stack, as in the Hugging Face format. The queries
//! are not scaled by 1/√d; T5's initialization takes care of that.
//!
//! | metadata | `config.json` |
//! |---|---|
//! | `attention.key_length` = `attention.value_length` | `d_kv` |
//! | `attention.relative_buckets_count` | `relative_attention_num_buckets` |
//! | a tensor `ffn_gate` exists | `feed_forward_proj`: `gated-gelu`, else `relu` |
//! | no tensor `output.weight` | `tie_word_embeddings`; then the head's input is scaled by 1/√`d_model` |
//! | none | `relative_attention_max_distance`: 128, the value of all published models |

use super::{Architecture, MetadataReader, NameRule, plain_rule, size_metadata};
use crate::gguf::{Metadata, Value};
use kiln_spec::ValidationError;
use serde_json::{Value as Json, json};

pub(super) const ARCHITECTURE: Architecture = Architecture {
    name: "t5",
    to_config_json: config,
    to_metadata: metadata,
    aliases: &["mt5"],
    name_rules,
    derived_tensors: &[],
};

/// Names that do not depend on the kind of feed-forward network. `{}` is the layer within its stack.
const NAME_RULES: [NameRule; 27] = [
    plain_rule("token_embd", "shared"),
    plain_rule("output", "lm_head"),
    plain_rule("enc.output_norm", "encoder.final_layer_norm"),
    plain_rule("enc.blk.{}.attn_norm", "encoder.block.{}.layer.0.layer_norm"),
    plain_rule("enc.blk.{}.attn_q", "encoder.block.{}.layer.0.SelfAttention.q"),
    plain_rule("enc.blk.{}.attn_k", "encoder.block.{}.layer.0.SelfAttention.k"),
    plain_rule("enc.blk.{}.attn_v", "encoder.block.{}.layer.0.SelfAttention.v"),
    plain_rule("enc.blk.{}.attn_o", "encoder.block.{}.layer.0.SelfAttention.o"),
    plain_rule("enc.blk.{}.attn_rel_b", "encoder.block.{}.layer.0.SelfAttention.relative_attention_bias"),
    plain_rule("enc.blk.{}.ffn_norm", "encoder.block.{}.layer.1.layer_norm"),
    plain_rule("enc.blk.{}.ffn_gate", "encoder.block.{}.layer.1.DenseReluDense.wi_0"),
    plain_rule("enc.blk.{}.ffn_down", "encoder.block.{}.layer.1.DenseReluDense.wo"),
    plain_rule("dec.output_norm", "decoder.final_layer_norm"),
    plain_rule("dec.blk.{}.attn_norm", "decoder.block.{}.layer.0.layer_norm"),
    plain_rule("dec.blk.{}.attn_q", "decoder.block.{}.layer.0.SelfAttention.q"),
    plain_rule("dec.blk.{}.attn_k", "decoder.block.{}.layer.0.SelfAttention.k"),
    plain_rule("dec.blk.{}.attn_v", "decoder.block.{}.layer.0.SelfAttention.v"),
    plain_rule("dec.blk.{}.attn_o", "decoder.block.{}.layer.0.SelfAttention.o"),
    plain_rule("dec.blk.{}.attn_rel_b", "decoder.block.{}.layer.0.SelfAttention.relative_attention_bias"),
    plain_rule("dec.blk.{}.cross_attn_norm", "decoder.block.{}.layer.1.layer_norm"),
    plain_rule("dec.blk.{}.cross_attn_q", "decoder.block.{}.layer.1.EncDecAttention.q"),
    plain_rule("dec.blk.{}.cross_attn_k", "decoder.block.{}.layer.1.EncDecAttention.k"),
    plain_rule("dec.blk.{}.cross_attn_v", "decoder.block.{}.layer.1.EncDecAttention.v"),
    plain_rule("dec.blk.{}.cross_attn_o", "decoder.block.{}.layer.1.EncDecAttention.o"),
    plain_rule("dec.blk.{}.ffn_norm", "decoder.block.{}.layer.2.layer_norm"),
    plain_rule("dec.blk.{}.ffn_gate", "decoder.block.{}.layer.2.DenseReluDense.wi_0"),
    plain_rule("dec.blk.{}.ffn_down", "decoder.block.{}.layer.2.DenseReluDense.wo"),
];

/// The up projection is `wi` in a plain feed-forward network and `wi_1` in a gated one.
fn name_rules(gated: bool) -> Vec<NameRule> {
    let up = match gated {
        true => ["encoder.block.{}.layer.1.DenseReluDense.wi_1", "decoder.block.{}.layer.2.DenseReluDense.wi_1"],
        false => ["encoder.block.{}.layer.1.DenseReluDense.wi", "decoder.block.{}.layer.2.DenseReluDense.wi"],
    };
    let up_rules = [plain_rule("enc.blk.{}.ffn_up", up[0]), plain_rule("dec.blk.{}.ffn_up", up[1])];
    NAME_RULES.into_iter().chain(up_rules).collect()
}

/// The `config.json` of a T5. ε is read from `layer_norm_rms_epsilon` or `layer_norm_epsilon`, with the default 1e-6.
fn config(fields: &MetadataReader) -> Result<Json, ValidationError> {
    let layers = fields.size("block_count")?;
    let heads = fields.size("attention.head_count")?;
    fields.require("attention.head_count_kv", heads)?;
    let head_dim = fields.size("attention.key_length")?;
    fields.require("attention.value_length", head_dim)?;
    // The norm is an RMS norm; files have its ε under either name.
    let eps = fields.float("attention.layer_norm_rms_epsilon")?;
    let eps = eps.or(fields.float("attention.layer_norm_epsilon")?).unwrap_or(1e-6);
    let start = fields.integer("decoder_start_token_id")?;
    let is_gated = fields.has_tensor("enc.blk.0.ffn_gate.weight");
    Ok(json!({
        "vocab_size": fields.num_rows("token_embd.weight")?,
        "n_positions": fields.integer("context_length")?,
        "d_model": fields.size("embedding_length")?,
        "d_kv": head_dim,
        "d_ff": fields.size("feed_forward_length")?,
        "num_layers": layers,
        "num_decoder_layers": fields.integer("decoder_block_count")?.unwrap_or(layers),
        "num_heads": heads,
        "relative_attention_num_buckets": fields.size("attention.relative_buckets_count")?,
        "relative_attention_max_distance": 128,
        "layer_norm_epsilon": eps,
        "feed_forward_proj": if is_gated { "gated-gelu" } else { "relu" },
        "decoder_start_token_id": start.unwrap_or(0),
        "tie_word_embeddings": !fields.has_tensor("output.weight"),
    }))
}

/// The metadata of a T5 or mT5.
fn metadata(config: &Json) -> Result<Metadata, ValidationError> {
    let mut metadata = size_metadata(
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
    // 512 is what the `transformers` library assumes if `config.json` does not say.
    metadata.set("context_length", Value::U32(config["n_positions"].as_u64().unwrap_or(512) as u32));
    let eps = config["layer_norm_epsilon"].as_f64().unwrap_or(1e-6);
    for key in ["attention.layer_norm_epsilon", "attention.layer_norm_rms_epsilon"] {
        metadata.set(key, Value::F32(eps as f32));
    }
    Ok(metadata)
}
