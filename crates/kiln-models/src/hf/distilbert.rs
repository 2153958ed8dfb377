//! DistilBERT (1910.01108): BERT without token types and pooler.
//!
//! Reference: `modeling_distilbert.py` of transformers. Sinusoidal positions (`sinusoidal_pos_embds`) are a table in the file too.
//! The classifier has a ReLU before it where BERT has a tanh.

use super::{
    Family, bert_like,
    class_head::ClassHead,
    gguf::{self, Gguf},
    keys::{Absent::*, Constant::*, Key::*},
    names::{linear, same},
    position_table::PositionTable,
};
use kiln_nn::part::feed_forward::activation::Activation as ActivationFunction;

/// Classes of the reference.
const CLASSES: &[&str] = &["DistilBertForMaskedLM", "DistilBertModel", "DistilBertForSequenceClassification"];

pub(super) const FAMILY: Family = Family {
    name: "distilbert",
    aliases: &[],
    architectures: CLASSES,
    prefix: "distilbert.",
    ignored_suffixes: &["embeddings.position_ids"],
    keys: &[
        All(bert_like::COMMON_KEYS),
        Size("vocab_size", "vocab", Is(30_522)),
        Size("dim", "hidden", Is(768)),
        Layers("n_layers", "layers", 6),
        Size("n_heads", "heads", Is(12)),
        Size("hidden_dim", "intermediate", Is(3072)),
        Activation("activation", "activation", "gelu"),
        Dropout(&["dropout", "attention_dropout"], "dropout", 0.1),
        Fixed("eps", Real(1e-12)),
        Fixed("types", Whole(0)),
        Fixed("factorized", Nothing),
        Converted(&PositionTable::FromZero),
        Converted(&ClassHead {
            class: "DistilBert",
            classes: CLASSES,
            activation: None,
            class_activation: Some(ActivationFunction::Relu),
        }),
        // Initialization, a head that is not supported, and dropout before a classifier.
        Ignored(&["sinusoidal_pos_embds", "qa_dropout", "seq_classif_dropout"]),
    ],
    template: bert_like::TEMPLATE,
    names: &[&[
        same("embedding", "distilbert.embeddings.word_embeddings.weight"),
        same("position", "distilbert.embeddings.position_embeddings"),
        same("embedded.norm", "distilbert.embeddings.LayerNorm"),
        linear("blocks.{i}.attention.q", "distilbert.transformer.layer.{i}.attention.q_lin"),
        linear("blocks.{i}.attention.k", "distilbert.transformer.layer.{i}.attention.k_lin"),
        linear("blocks.{i}.attention.v", "distilbert.transformer.layer.{i}.attention.v_lin"),
        linear("blocks.{i}.attention.o", "distilbert.transformer.layer.{i}.attention.out_lin"),
        same("blocks.{i}.attention_norm", "distilbert.transformer.layer.{i}.sa_layer_norm"),
        linear("blocks.{i}.feed_forward.up", "distilbert.transformer.layer.{i}.ffn.lin1"),
        linear("blocks.{i}.feed_forward.down", "distilbert.transformer.layer.{i}.ffn.lin2"),
        same("blocks.{i}.feed_forward_norm", "distilbert.transformer.layer.{i}.output_layer_norm"),
        linear("head.transform.dense", "vocab_transform").without("head.classes.weight"),
        same("head.transform.norm", "vocab_layer_norm"),
        same("head.bias", "vocab_projector.bias"),
        same("embedding", "vocab_projector.weight").if_tied(),
        linear("head.weight", "vocab_projector.weight"),
        linear("head.transform.dense", "pre_classifier").with("head.classes.weight"),
        linear("head.classes", "classifier"),
    ]],
    gguf: Some(Gguf { names: gguf::names::NORMS_AFTER_SUMS, ..Gguf::new("bert") }),
};
