//! BERT-like families: configuration and encoder of BERT, RoBERTa, DistilBERT and ELECTRA.
//!
//! Embeddings (token + position + token type) → LayerNorm → blocks of attention and MLP, each x ← LayerNorm(x + f(x)),
//! all linear layers with bias. The families differ in the first position, in token types, in the width of the embedding and in
//! names.
//!
//! | `config.json` | `ModelConfig` |
//! |---|---|
//! | `hidden_size`, `vocab_size`, `type_vocab_size` | `hidden`, `vocab`, `embedding.type_vocab_size` |
//! | `num_hidden_layers`, `num_attention_heads` | `repeat` of the block, `heads` of its attention |
//! | `intermediate_size`, `hidden_act` | `intermediate` and `activation` of `mlp` |
//! | `max_position_embeddings` | `position.learned` (`position_table`) |
//! | `hidden_dropout_prob`, `attention_probs_dropout_prob` | `dropout` |
//! | `layer_norm_eps` | `eps` of every LayerNorm |
//! | `architectures`, `num_labels`, `id2label` | `head` (`class_head`) |

use super::{
    keys::{
        Absent::*,
        Constant::*,
        Key::{self, *},
    },
    names::{Name, linear, same},
};

/// Configuration of these families.
pub(super) const TEMPLATE: &str = r#"{
    "stack": "encoder",
    "visibility": "bidirectional",
    "vocab": "$vocab",
    "hidden": "$hidden",
    "embedding": { "type_vocab_size": "$types", "norm": { "layer": { "eps": "$eps" } }, "factorized": "$factorized" },
    "position": { "learned": { "max_position_embeddings": "$length", "offset": "$offset" } },
    "dropout": "$dropout",
    "blocks": { "$each": "$layers", "block": { "sublayers": [
        { "junction": { "post": { "norm": { "layer": { "eps": "$eps" } } } },
          "parts": [{ "attention": { "projection": { "heads": { "heads": "$heads", "bias": true } } } }] },
        { "junction": { "post": { "norm": { "layer": { "eps": "$eps" } } } },
          "parts": [{ "mlp": { "intermediate": "$intermediate", "activation": "$activation", "bias": true } }] }
    ] } },
    "norm": "none",
    "head": { "$case": "$head",
        "language": { "language": { "tied": "$tied", "bias": true, "width": "$head_width",
            "transform": { "activation": "$head_activation", "norm": { "layer": { "eps": "$eps" } } } } },
        "class": { "class": { "num_classes": "$num_classes", "pooling": "first", "pooler": "$pooler", "transform": "$class_transform" } },
        "embedding": { "embedding": { "pooling": "mean", "normalize": false } } }
}"#;

/// Ends of the names of a LayerNorm in files converted from TensorFlow.
const TF_ENDS: &[(&str, &str)] = &[(".weight", ".gamma"), (".bias", ".beta")];

/// Tensors of the embeddings and blocks of BERT, RoBERTa and ELECTRA. In files converted from TensorFlow, LayerNorms have other
/// ends of their names.
pub(super) const ENCODER_NAMES: &[Name] = &[
    same("embedding", "{prefix}embeddings.word_embeddings.weight"),
    same("embedded.types", "{prefix}embeddings.token_type_embeddings.weight"),
    same("position", "{prefix}embeddings.position_embeddings"),
    same("embedded.norm", "{prefix}embeddings.LayerNorm"),
    same("embedded.norm", "{prefix}embeddings.LayerNorm").with_ends(TF_ENDS),
    linear("blocks.{i}.attention.q", "{prefix}encoder.layer.{i}.attention.self.query"),
    linear("blocks.{i}.attention.k", "{prefix}encoder.layer.{i}.attention.self.key"),
    linear("blocks.{i}.attention.v", "{prefix}encoder.layer.{i}.attention.self.value"),
    linear("blocks.{i}.attention.o", "{prefix}encoder.layer.{i}.attention.output.dense"),
    linear("blocks.{i}.feed_forward.up", "{prefix}encoder.layer.{i}.intermediate.dense"),
    linear("blocks.{i}.feed_forward.down", "{prefix}encoder.layer.{i}.output.dense"),
    same("blocks.{i}.attention_norm", "{prefix}encoder.layer.{i}.attention.output.LayerNorm"),
    same("blocks.{i}.attention_norm", "{prefix}encoder.layer.{i}.attention.output.LayerNorm").with_ends(TF_ENDS),
    same("blocks.{i}.feed_forward_norm", "{prefix}encoder.layer.{i}.output.LayerNorm"),
    same("blocks.{i}.feed_forward_norm", "{prefix}encoder.layer.{i}.output.LayerNorm").with_ends(TF_ENDS),
];

/// Tensors of the head of a masked language model, in BERT and RoBERTa: its transform, and `decoder`, the linear layer to the
/// vocabulary. If the head is tied, the embedding is its matrix, and its bias has two names, of which `bias` is written.
pub(super) const fn masked_head(
    dense: &'static str,
    norm: &'static str,
    bias: &'static str,
    decoder: &'static str,
) -> [Name; 6] {
    [
        linear("head.transform.dense", dense),
        same("head.transform.norm", norm),
        same("head.transform.norm", norm).with_ends(TF_ENDS),
        same("head.bias", bias).if_tied(),
        linear("head", decoder),
        same("embedding", decoder).with_ends(&[("", ".weight")]).if_tied(),
    ]
}

/// Keys of all encoders.
pub(super) const COMMON_KEYS: &[Key] = &[
    Only("position_embedding_type", Text("absolute")),
    Only("is_decoder", Bool(false)),
    Only("add_cross_attention", Bool(false)),
    Only("is_encoder_decoder", Bool(false)),
    Flag("tie_word_embeddings", "tied", true),
];

/// Keys of the encoder but the vocabulary, the widths and the positions.
pub(super) const ENCODER_KEYS: &[Key] = &[
    All(COMMON_KEYS),
    // Settings of a pooler that no supported class has.
    Ignored(&["pooler_fc_size", "pooler_num_attention_heads", "pooler_num_fc_layers", "pooler_size_per_head"]),
    Ignored(&["pooler_type", "classifier_dropout", "directionality"]),
    Activation("hidden_act", "activation", "gelu"),
    Float("layer_norm_eps", "eps", 1e-12),
    Size("type_vocab_size", "types", Is(2)),
    Dropout(&["hidden_dropout_prob", "attention_probs_dropout_prob"], "dropout", 0.1),
    Layers("num_hidden_layers", "layers", 12),
];

/// Widths of BERT and RoBERTa.
pub(super) const BERT_WIDTHS: &[Key] = &[
    Size("hidden_size", "hidden", Is(768)),
    Size("num_attention_heads", "heads", Is(12)),
    Size("intermediate_size", "intermediate", Is(3072)),
    Fixed("factorized", Nothing),
];
