//! T5 (1910.10683) and T5 version 1.1: encoder-decoder with RMSNorm, relative position biases and no biases in linear
//! layers.
//!
//! Scores have no scale 1/√d but a bias by distance in buckets, whose table the first block of each stack holds for all.
//! Version 1.0 has an MLP with ReLU and a head that is tied to the embedding and scales its input by 1/√M; version 1.1 has
//! a gated MLP and a head of its own. Reference: `modeling_t5.py` of transformers.
//!
//! | `config.json` | `ModelConfig` |
//! |---|---|
//! | `d_model`, `vocab_size`, `dropout_rate` | `hidden`, `vocab`, `dropout` |
//! | `num_layers`, `num_decoder_layers` | `repeat` of the encoder's and of the decoder's block |
//! | `num_heads`, `d_kv` | `heads`, `head_dim` of all attention parts |
//! | `relative_attention_num_buckets`, `relative_attention_max_distance` | `position.t5` of both stacks |
//! | `feed_forward_proj`, `d_ff` | the part `mlp` or `gated_mlp`, its activation and `intermediate` |
//! | `layer_norm_epsilon` | `eps` of every RMSNorm |
//! | `tie_word_embeddings`, `scale_decoder_outputs` | `tied` and `scale` of the head |

use super::{
    Family,
    gguf::{self, Gguf},
    keys::{Absent::*, Key::*},
    names::{linear, same},
    t5_like::{COMMON_KEYS, FeedForward, HeadScale, SCALE_OUTPUTS_KEY, SupportedClass, TEMPLATE},
};
use crate::tensors::TensorSource;
use serde_json::Value;

/// Classes of the reference.
const CLASSES: &[&str] = &["T5ForConditionalGeneration", "T5Model", "T5WithLMHeadModel"];

pub(super) const FAMILY: Family = Family {
    name: "t5",
    aliases: &[],
    architectures: CLASSES,
    prefix: "",
    // Older files have a table in cross-attention, which the reference doesn't use.
    ignored_suffixes: &["EncDecAttention.relative_attention_bias.weight"],
    keys: &[
        All(&COMMON_KEYS),
        Size("vocab_size", "vocab", Is(32_128)),
        Size("d_ff", "intermediate", Is(2048)),
        Size("num_layers", "encoder_layers", Is(6)),
        Size("num_decoder_layers", "layers", Same("encoder_layers")),
        Size("num_heads", "heads", Is(8)),
        Converted(&FeedForward { absent: "relu" }),
        Converted(&SupportedClass { classes: CLASSES }),
        Converted(&HeadScale),
    ],
    template: TEMPLATE,
    // Older files repeat the table of embeddings for each stack, and each stack has one table of relative positions.
    names: &[&[
        same("embedding", "shared.weight"),
        same("embedding", "encoder.embed_tokens.weight"),
        same("embedding", "decoder.embed_tokens.weight"),
        linear("head", "lm_head"),
        same("embedding", "lm_head.weight").if_tied(),
        same("position", "decoder.block.0.layer.0.SelfAttention.relative_attention_bias"),
        same("norm", "decoder.final_layer_norm"),
        linear("blocks.{i}.attention.q", "decoder.block.{i}.layer.0.SelfAttention.q"),
        linear("blocks.{i}.attention.k", "decoder.block.{i}.layer.0.SelfAttention.k"),
        linear("blocks.{i}.attention.v", "decoder.block.{i}.layer.0.SelfAttention.v"),
        linear("blocks.{i}.attention.o", "decoder.block.{i}.layer.0.SelfAttention.o"),
        same("blocks.{i}.attention_norm", "decoder.block.{i}.layer.0.layer_norm"),
        linear("blocks.{i}.cross_attention.q", "decoder.block.{i}.layer.1.EncDecAttention.q"),
        linear("blocks.{i}.cross_attention.k", "decoder.block.{i}.layer.1.EncDecAttention.k"),
        linear("blocks.{i}.cross_attention.v", "decoder.block.{i}.layer.1.EncDecAttention.v"),
        linear("blocks.{i}.cross_attention.o", "decoder.block.{i}.layer.1.EncDecAttention.o"),
        same("blocks.{i}.cross_attention_norm", "decoder.block.{i}.layer.1.layer_norm"),
        linear("blocks.{i}.feed_forward.gate", "decoder.block.{i}.layer.2.DenseReluDense.wi_0"),
        linear("blocks.{i}.feed_forward.up", "decoder.block.{i}.layer.2.DenseReluDense.wi_1")
            .with("blocks.{i}.feed_forward.gate.weight"),
        linear("blocks.{i}.feed_forward.up", "decoder.block.{i}.layer.2.DenseReluDense.wi")
            .without("blocks.{i}.feed_forward.gate.weight"),
        linear("blocks.{i}.feed_forward.down", "decoder.block.{i}.layer.2.DenseReluDense.wo"),
        same("blocks.{i}.feed_forward_norm", "decoder.block.{i}.layer.2.layer_norm"),
        same("encoder.position", "encoder.block.0.layer.0.SelfAttention.relative_attention_bias"),
        same("encoder.norm", "encoder.final_layer_norm"),
        linear("encoder.blocks.{i}.attention.q", "encoder.block.{i}.layer.0.SelfAttention.q"),
        linear("encoder.blocks.{i}.attention.k", "encoder.block.{i}.layer.0.SelfAttention.k"),
        linear("encoder.blocks.{i}.attention.v", "encoder.block.{i}.layer.0.SelfAttention.v"),
        linear("encoder.blocks.{i}.attention.o", "encoder.block.{i}.layer.0.SelfAttention.o"),
        same("encoder.blocks.{i}.attention_norm", "encoder.block.{i}.layer.0.layer_norm"),
        linear("encoder.blocks.{i}.feed_forward.gate", "encoder.block.{i}.layer.1.DenseReluDense.wi_0"),
        linear("encoder.blocks.{i}.feed_forward.up", "encoder.block.{i}.layer.1.DenseReluDense.wi_1")
            .with("encoder.blocks.{i}.feed_forward.gate.weight"),
        linear("encoder.blocks.{i}.feed_forward.up", "encoder.block.{i}.layer.1.DenseReluDense.wi")
            .without("encoder.blocks.{i}.feed_forward.gate.weight"),
        linear("encoder.blocks.{i}.feed_forward.down", "encoder.block.{i}.layer.1.DenseReluDense.wo"),
        same("encoder.blocks.{i}.feed_forward_norm", "encoder.block.{i}.layer.1.layer_norm"),
    ]],
    gguf: Some(Gguf {
        names: gguf::names::ENCODER_DECODER,
        renamed: &[("layers", "decoder_block_count")],
        ..Gguf::new("t5")
    }),
};

/// Corrects `tie_word_embeddings` of a T5 by its tensors.
///
/// Newer versions of transformers write `true` for every T5. A file of such a version (it has `scale_decoder_outputs`) with
/// a tensor for the head besides the embedding has an untied head.
pub fn resolve_tied_embeddings(json: &mut Value, tensors: &dyn TensorSource) {
    let is_newer_t5 = json["model_type"] == FAMILY.name && !json[SCALE_OUTPUTS_KEY].is_null();
    if is_newer_t5 && ["shared.weight", "lm_head.weight"].iter().all(|name| tensors.entries().contains_key(*name)) {
        json["tie_word_embeddings"] = false.into();
    }
}
