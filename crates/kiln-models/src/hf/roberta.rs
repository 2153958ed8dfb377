//! RoBERTa (1907.11692), XLM-RoBERTa (1911.02116) and CamemBERT (1911.03894): BERT with other positions and head.
//!
//! Positions start after the padding token's id (`pad_token_id` + 1 = 2 rows of the table are unused), and the head always
//! has an exact GELU. Reference: `modeling_roberta.py` of transformers. Tensor names of the heads:
//!
//! | parameter | tensor |
//! |---|---|
//! | `head.transform.dense`, `head.transform.norm` | `lm_head.dense`, `lm_head.layer_norm` |
//! | `head.bias`, `head.weight` (untied) | `lm_head.bias` or `lm_head.decoder.bias`, `lm_head.decoder.weight` |
//! | `head.pooler`, `head.classes` | `classifier.dense`, `classifier.out_proj` |

use super::{
    Family, bert_like,
    class_head::ClassHead,
    gguf::{self, Gguf},
    keys::{Absent::*, Key::*},
    names::linear,
    position_table::PositionTable,
};
use kiln_nn::part::feed_forward::activation::Activation as ActivationFunction;

/// Classes of the reference.
const CLASSES: &[&str] = &["RobertaForMaskedLM", "RobertaModel", "RobertaForSequenceClassification"];

pub(super) const FAMILY: Family = Family {
    name: "roberta",
    aliases: &["xlm-roberta", "camembert"],
    architectures: CLASSES,
    prefix: "roberta.",
    // Constants, a pooler that the class may lack, and a second name of the decoder's bias.
    ignored_suffixes: &["embeddings.position_ids", "pooler.dense.weight", "pooler.dense.bias", "lm_head.bias"],
    keys: &[
        Size("vocab_size", "vocab", ByName(50_265, 30_522)),
        All(bert_like::BERT_WIDTHS),
        All(bert_like::ENCODER_KEYS),
        Converted(&PositionTable::AfterPadding),
        Converted(&ClassHead {
            class: "Roberta",
            classes: CLASSES,
            activation: Some(ActivationFunction::Gelu),
            class_activation: None,
        }),
    ],
    template: bert_like::TEMPLATE,
    names: &[
        bert_like::ENCODER_NAMES,
        &bert_like::masked_head("lm_head.dense", "lm_head.layer_norm", "lm_head.bias", "lm_head.decoder"),
        &[linear("head.pooler", "classifier.dense"), linear("head.classes", "classifier.out_proj")],
    ],
    gguf: Some(Gguf { names: gguf::names::NORMS_AFTER_SUMS, ..Gguf::new("bert") }),
};
