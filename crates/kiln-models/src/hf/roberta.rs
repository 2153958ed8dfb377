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
    Family,
    bert_like::{self, ClassHead},
    config_reader::ConfigReader,
    gguf::{self, Gguf, GgufMetadata},
    keys::{Convert, Key::*},
    names::{linear, same},
    template::Holes,
};
use kiln_nn::part::feed_forward::activation::Activation;
use kiln_spec::ValidationError;
use serde_json::{Map, Value};

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
        Converted(&Vocabulary),
        Converted(&PaddingOffset),
        All(bert_like::BERT_WIDTHS),
        All(bert_like::ENCODER_KEYS),
        Converted(&ClassHead {
            class: "Roberta",
            classes: CLASSES,
            activation: Some(Activation::Gelu),
            class_activation: None,
        }),
    ],
    template: bert_like::TEMPLATE,
    names: &[
        bert_like::ENCODER_NAMES,
        &[
            linear("head.transform.dense", "lm_head.dense"),
            same("head.transform.norm", "lm_head.layer_norm"),
            same("head.transform.norm", "lm_head.layer_norm").with_ends(bert_like::TF_ENDS),
            // A tied head has two names for its bias, and the embedding as its matrix.
            same("head.bias", "lm_head.bias").if_tied(),
            same("head.bias", "lm_head.decoder.bias"),
            same("embedding", "lm_head.decoder.weight").if_tied(),
            linear("head.weight", "lm_head.decoder.weight"),
            linear("head.pooler", "classifier.dense"),
            linear("head.classes", "classifier.out_proj"),
        ],
    ],
    gguf: Some(Gguf { names: gguf::names::NORMS_AFTER_SUMS, ..Gguf::new("bert") }),
};

/// `vocab_size`. The classes of XLM-RoBERTa and CamemBERT have BERT's default.
struct Vocabulary;

impl Convert for Vocabulary {
    fn read(&self, fields: &ConfigReader, holes: &mut Holes) -> Result<(), ValidationError> {
        let default = if fields.string("model_type", FAMILY.name)? == FAMILY.name { 50_265 } else { 30_522 };
        holes.set("vocab", fields.size("vocab_size", default)?);
        Ok(())
    }

    fn write(&self, holes: &Holes, json: &mut Map<String, Value>) -> Result<(), ValidationError> {
        json.insert("vocab_size".into(), holes.get("vocab").clone());
        Ok(())
    }

    fn write_gguf(&self, holes: &Holes, out: &mut GgufMetadata) -> Result<(), ValidationError> {
        out.set_hole("vocab", holes.get("vocab").clone());
        Ok(())
    }
}

/// `pad_token_id`: positions start after it. Hole: `offset`.
struct PaddingOffset;

impl Convert for PaddingOffset {
    fn read(&self, fields: &ConfigReader, holes: &mut Holes) -> Result<(), ValidationError> {
        holes.set("offset", fields.integer("pad_token_id")?.unwrap_or(1).saturating_add(1));
        Ok(())
    }

    fn write(&self, holes: &Holes, json: &mut Map<String, Value>) -> Result<(), ValidationError> {
        json.insert("pad_token_id".into(), holes.integer("offset").saturating_sub(1).into());
        Ok(())
    }
}
