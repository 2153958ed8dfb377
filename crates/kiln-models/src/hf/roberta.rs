//! RoBERTa (1907.11692): BERT with positions that start after the padding's number, and a head of its own.

use super::{Family, encoder, fields::Fields, tie::Tie};
use crate::config::ModelConfig;
use kiln_nn::{head::HeadConfig, part::feed_forward::activation::Activation};
use kiln_spec::Refusal;
use serde_json::Value;

pub(super) const FAMILY: Family = Family {
    name: "roberta",
    also: &["xlm-roberta", "camembert"],
    architectures: &["RobertaForMaskedLM", "RobertaModel", "RobertaForSequenceClassification"],
    prefix: "roberta.",
    harmless: &["embeddings.position_ids", "pooler.dense.weight", "pooler.dense.bias", "lm_head.bias"],
    read,
    write,
    names,
};

fn read(json: &Value) -> Result<ModelConfig, Refusal> {
    let fields = Fields::of(FAMILY.name, json)?;
    let offset = fields.whole("pad_token_id")?.unwrap_or(1).saturating_add(1);
    let defaults = encoder::Defaults { vocab: 50_265, offset, activation: Some(Activation::Gelu) };
    let config = encoder::read(&fields, &FAMILY, &defaults)?;
    fields.done()?;
    Ok(config)
}

fn write(config: &ModelConfig) -> Result<Value, Refusal> {
    let mut json = encoder::write(config, "Roberta")?;
    json["pad_token_id"] = encoder::learned(config)?.offset.saturating_sub(1).into();
    Ok(json)
}

fn names(config: &ModelConfig) -> Vec<Tie> {
    let mut ties = encoder::names(config, FAMILY.prefix);
    match &config.head {
        HeadConfig::Language(head) => {
            ties.extend(Tie::linear("head.transform.dense", "lm_head.dense", true));
            ties.extend(encoder::norm("head.transform.norm", "lm_head.layer_norm"));
            ties.extend(encoder::logits(head.tied, "lm_head"));
        }
        HeadConfig::Class(_) => {
            ties.extend(Tie::linear("head.pooler", "classifier.dense", true));
            ties.extend(Tie::linear("head.classes", "classifier.out_proj", true));
        }
        _ => {}
    }
    ties
}
