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

use super::{Family, bert_like, binding::Binding, config_reader::ConfigReader};
use crate::config::ModelConfig;
use kiln_nn::{head::HeadConfig, part::feed_forward::activation::Activation};
use kiln_spec::ValidationError;
use serde_json::Value;

pub(super) const FAMILY: Family = Family {
    name: "roberta",
    aliases: &["xlm-roberta", "camembert"],
    architectures: &["RobertaForMaskedLM", "RobertaModel", "RobertaForSequenceClassification"],
    prefix: "roberta.",
    // Constants, a pooler that the class may lack, and a second name of the decoder's bias.
    ignored_suffixes: &["embeddings.position_ids", "pooler.dense.weight", "pooler.dense.bias", "lm_head.bias"],
    read_config: read,
    write_config: write,
    bindings,
};

fn read(fields: &ConfigReader) -> Result<ModelConfig, ValidationError> {
    let position_offset = fields.integer("pad_token_id")?.unwrap_or(1).saturating_add(1);
    // The classes of XLM-RoBERTa and CamemBERT have BERT's default.
    let vocab = if fields.string("model_type", FAMILY.name)? == FAMILY.name { 50_265 } else { 30_522 };
    let defaults = bert_like::Defaults { vocab, position_offset, head_activation: Some(Activation::Gelu) };
    bert_like::read(fields, &FAMILY, &defaults)
}

fn write(config: &ModelConfig) -> Result<Value, ValidationError> {
    let mut json = bert_like::write(config, "Roberta")?;
    json["pad_token_id"] = bert_like::learned_positions(config)?.offset.saturating_sub(1).into();
    Ok(json)
}

/// Tensor names of the encoder and of the head.
fn bindings(config: &ModelConfig) -> Vec<Binding> {
    let mut bindings = bert_like::bindings(config, FAMILY.prefix);
    match &config.head {
        HeadConfig::Language(head) => {
            bindings.extend(Binding::linear("head.transform.dense", "lm_head.dense", true));
            bindings.extend(bert_like::layer_norm_bindings("head.transform.norm", "lm_head.layer_norm"));
            bindings.extend(bert_like::logit_bindings(head.tied, "lm_head"));
        }
        HeadConfig::Class(_) => {
            bindings.extend(Binding::linear("head.pooler", "classifier.dense", true));
            bindings.extend(Binding::linear("head.classes", "classifier.out_proj", true));
        }
        _ => {}
    }
    bindings
}
