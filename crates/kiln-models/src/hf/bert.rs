//! BERT (1810.04805): an encoder of post-norm blocks with biases, learned positions and types of tokens.

use super::{Family, encoder, fields::Fields, tie::Tie};
use crate::config::ModelConfig;
use kiln_nn::head::HeadConfig;
use kiln_spec::Refusal;
use serde_json::Value;

pub(super) const FAMILY: Family = Family {
    name: "bert",
    also: &[],
    architectures: &["BertForMaskedLM", "BertForPreTraining", "BertModel", "BertForSequenceClassification"],
    prefix: "bert.",
    // The pooler and the next-sentence head of heads that Kiln's has no use for; a bias of untied logits is the decoder's.
    harmless: &[
        "embeddings.position_ids",
        "pooler.dense.weight",
        "pooler.dense.bias",
        "cls.seq_relationship.weight",
        "cls.seq_relationship.bias",
        "cls.predictions.bias",
    ],
    read,
    write,
    names,
};

fn read(json: &Value) -> Result<ModelConfig, Refusal> {
    let fields = Fields::of(FAMILY.name, json)?;
    let defaults = encoder::Defaults { vocab: 30_522, offset: 0, activation: None };
    let config = encoder::read(&fields, &FAMILY, &defaults)?;
    fields.done()?;
    Ok(config)
}

fn write(config: &ModelConfig) -> Result<Value, Refusal> {
    encoder::write(config, "Bert")
}

fn names(config: &ModelConfig) -> Vec<Tie> {
    let mut ties = encoder::names(config, FAMILY.prefix);
    match &config.head {
        HeadConfig::Language(head) => {
            let transform = "cls.predictions.transform";
            ties.extend(Tie::linear("head.transform.dense", &format!("{transform}.dense"), true));
            ties.extend(encoder::norm("head.transform.norm", &format!("{transform}.LayerNorm")));
            ties.extend(encoder::logits(head.tied, "cls.predictions"));
        }
        HeadConfig::Class(_) => {
            ties.extend(Tie::linear("head.pooler", "bert.pooler.dense", true));
            ties.extend(Tie::linear("head.classes", "classifier", true));
        }
        _ => {}
    }
    ties
}
