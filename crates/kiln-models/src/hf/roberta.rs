//! RoBERTa (1907.11692): BERT with positions that start after the padding's number, and a head of its own.

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
    ignored_suffixes: &["embeddings.position_ids", "pooler.dense.weight", "pooler.dense.bias", "lm_head.bias"],
    read_config: read,
    write_config: write,
    bindings,
};

fn read(json: &Value) -> Result<ModelConfig, ValidationError> {
    let fields = ConfigReader::new(FAMILY.name, json)?;
    let offset = fields.integer("pad_token_id")?.unwrap_or(1).saturating_add(1);
    let defaults =
        bert_like::Defaults { vocab: 50_265, position_offset: offset, head_activation: Some(Activation::Gelu) };
    let config = bert_like::read(&fields, &FAMILY, &defaults)?;
    fields.finish()?;
    Ok(config)
}

fn write(config: &ModelConfig) -> Result<Value, ValidationError> {
    let mut json = bert_like::write(config, "Roberta")?;
    json["pad_token_id"] = bert_like::learned_positions(config)?.offset.saturating_sub(1).into();
    Ok(json)
}

fn bindings(config: &ModelConfig) -> Vec<Binding> {
    let mut ties = bert_like::bindings(config, FAMILY.prefix);
    match &config.head {
        HeadConfig::Language(head) => {
            ties.extend(Binding::linear("head.transform.dense", "lm_head.dense", true));
            ties.extend(bert_like::layer_norm_bindings("head.transform.norm", "lm_head.layer_norm"));
            ties.extend(bert_like::logit_bindings(head.tied, "lm_head"));
        }
        HeadConfig::Class(_) => {
            ties.extend(Binding::linear("head.pooler", "classifier.dense", true));
            ties.extend(Binding::linear("head.classes", "classifier.out_proj", true));
        }
        _ => {}
    }
    ties
}
