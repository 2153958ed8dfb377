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
    Family,
    bert_like::{self, ClassHead, TableLength},
    binding::Binding,
    keys::{Absent::*, Constant::*, Key::*},
};
use crate::config::ModelConfig;
use kiln_nn::head::HeadConfig;

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
        All(&bert_like::ENCODER_KEYS),
        Size("vocab_size", "vocab", Is(30_522)),
        Fixed("offset", Whole(0)),
        Converted(&TableLength),
        Converted(&ClassHead { class: "Bert", classes: CLASSES, activation: None }),
    ],
    template: bert_like::TEMPLATE,
    bindings,
};

/// Tensor names of the encoder and of the head.
fn bindings(config: &ModelConfig) -> Vec<Binding> {
    let mut bindings = bert_like::bindings(config, FAMILY.prefix);
    match &config.head {
        HeadConfig::Language(head) => {
            let transform = "cls.predictions.transform";
            bindings.extend(Binding::linear("head.transform.dense", &format!("{transform}.dense"), true));
            bindings.extend(bert_like::layer_norm_bindings("head.transform.norm", &format!("{transform}.LayerNorm")));
            bindings.extend(bert_like::logit_bindings(head.tied, "cls.predictions"));
        }
        HeadConfig::Class(_) => {
            bindings.extend(Binding::linear("head.pooler", "bert.pooler.dense", true));
            bindings.extend(Binding::linear("head.classes", "classifier", true));
        }
        _ => {}
    }
    bindings
}
