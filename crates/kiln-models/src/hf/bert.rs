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
    read_config: read,
    write_config: write,
    bindings,
};

fn read(fields: &ConfigReader) -> Result<ModelConfig, ValidationError> {
    let defaults = bert_like::Defaults { vocab: 30_522, position_offset: 0, head_activation: None };
    bert_like::read(fields, &FAMILY, &defaults)
}

fn write(config: &ModelConfig) -> Result<Value, ValidationError> {
    bert_like::write(config, "Bert")
}

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
