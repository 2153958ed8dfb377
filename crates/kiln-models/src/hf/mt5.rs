//! mT5 (2010.11934): T5 of version 1.1 in many languages. A head that shares the embedding scales nothing.

use super::{Family, config_reader::ConfigReader, t5};
use crate::config::ModelConfig;
use kiln_nn::head::LanguageModelHeadConfig;
use kiln_spec::ValidationError;
use serde_json::Value;

pub(super) const FAMILY: Family = Family {
    name: "mt5",
    architectures: &["MT5ForConditionalGeneration", "MT5Model"],
    read_config: read,
    ..t5::FAMILY
};

fn read(json: &Value) -> Result<ModelConfig, ValidationError> {
    let fields = ConfigReader::new(FAMILY.name, json)?;
    let head = LanguageModelHeadConfig {
        tied: fields.flag("tie_word_embeddings", true)?,
        ..LanguageModelHeadConfig::default()
    };
    let defaults = t5::Defaults {
        family: &FAMILY,
        vocab: 250_112,
        intermediate: 1024,
        layers: 8,
        heads: 6,
        feed_forward: "gated-gelu",
    };
    t5::read_with_head(&fields, &defaults, head)
}
