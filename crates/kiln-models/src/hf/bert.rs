//! BERT (1810.04805): encoder of post-norm blocks with biases, learned positions and token types.
//!
//! Reference: `modeling_bert.py` of transformers. The configuration and the encoder are shared with RoBERTa
//! (`bert_like`); this file has the tensor names of the heads:
//!
//! | parameter | tensor |
//! |---|---|
//! | `head.transform.dense`, `head.transform.norm` | `cls.predictions.transform.dense`, `….LayerNorm` |
//! | `head.bias`, `head.weight` (untied) | `cls.predictions.bias` or `….decoder.bias`, `….decoder.weight` |
//! | `head.pooler`, `head.classes` | `bert.pooler.dense`, `classifier` |

use super::{
    Family, bert_like,
    class_head::ClassHead,
    gguf::{self, Gguf},
    keys::{Absent::*, Key::*},
    names::linear,
    position_table::PositionTable,
};

/// Classes of the reference.
const CLASSES: &[&str] = &["BertForMaskedLM", "BertForPreTraining", "BertModel", "BertForSequenceClassification"];

pub(super) const FAMILY: Family = Family {
    name: "bert",
    aliases: &[],
    architectures: CLASSES,
    prefix: "bert.",
    // Position ids are constants. The pooler and the next-sentence head belong to heads that the loaded class may lack.
    // `cls.predictions.bias` is a second name of the decoder's bias, and not used if the decoder is not tied.
    ignored_suffixes: &[
        "embeddings.position_ids",
        "pooler.dense.weight",
        "pooler.dense.bias",
        "cls.seq_relationship.weight",
        "cls.seq_relationship.bias",
        "cls.predictions.bias",
    ],
    keys: &[
        Size("vocab_size", "vocab", Is(30_522)),
        All(bert_like::BERT_WIDTHS),
        All(bert_like::ENCODER_KEYS),
        Converted(&PositionTable::FromZero),
        Converted(&ClassHead { class: "Bert", classes: CLASSES, activation: None, class_activation: None }),
    ],
    template: bert_like::TEMPLATE,
    names: &[
        bert_like::ENCODER_NAMES,
        &bert_like::masked_head(
            "cls.predictions.transform.dense",
            "cls.predictions.transform.LayerNorm",
            "cls.predictions.bias",
            "cls.predictions.decoder",
        ),
        &[linear("head.pooler", "bert.pooler.dense"), linear("head.classes", "classifier")],
    ],
    gguf: Some(Gguf { names: gguf::names::NORMS_AFTER_SUMS, ..Gguf::new("bert") }),
};
