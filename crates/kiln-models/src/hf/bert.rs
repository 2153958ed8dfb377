//! BERT (1810.04805): an encoder of post-norm blocks with biases, learned positions and types of tokens.

use super::{Family, bert_like, binding::Binding, config_reader::ConfigReader};
use crate::config::ModelConfig;
use kiln_nn::head::HeadConfig;
use kiln_spec::ValidationError;
use serde_json::Value;

pub(super) const FAMILY: Family = Family {
    name: "bert",
    aliases: &[],
    architectures: &["BertForMaskedLM", "BertForPreTraining", "BertModel", "BertForSequenceClassification"],
    prefix: "bert.",
    // The pooler and the next-sentence head of heads that Kiln's has no use for; a bias of untied logits is the decoder's.
    ignored_suffixes: &[
        "embeddings.position_ids",
        "pooler.dense.weight",
        "pooler.dense.bias",
        "cls.seq_relationship.weight",
        "cls.seq_relationship.bias",
        "cls.predictions.bias",
    ],
    read_config: read,
    write_config: write,
    bindings,
};

fn read(json: &Value) -> Result<ModelConfig, ValidationError> {
    let fields = ConfigReader::new(FAMILY.name, json)?;
    let defaults = bert_like::Defaults { vocab: 30_522, position_offset: 0, head_activation: None };
    let config = bert_like::read(&fields, &FAMILY, &defaults)?;
    fields.finish()?;
    Ok(config)
}

fn write(config: &ModelConfig) -> Result<Value, ValidationError> {
    bert_like::write(config, "Bert")
}

fn bindings(config: &ModelConfig) -> Vec<Binding> {
    let mut ties = bert_like::bindings(config, FAMILY.prefix);
    match &config.head {
        HeadConfig::Language(head) => {
            let transform = "cls.predictions.transform";
            ties.extend(Binding::linear("head.transform.dense", &format!("{transform}.dense"), true));
            ties.extend(bert_like::layer_norm_bindings("head.transform.norm", &format!("{transform}.LayerNorm")));
            ties.extend(bert_like::logit_bindings(head.tied, "cls.predictions"));
        }
        HeadConfig::Class(_) => {
            ties.extend(Binding::linear("head.pooler", "bert.pooler.dense", true));
            ties.extend(Binding::linear("head.classes", "classifier", true));
        }
        _ => {}
    }
    ties
}
