//! mT5 (2010.11934): T5 version 1.1 with a multilingual vocabulary.
//!
//! Unlike T5, a head that is tied to the embedding does not scale its input by 1/√M. Reference: `modeling_mt5.py` of
//! transformers.

use super::{Family, config_reader::ConfigReader, t5};
use crate::config::ModelConfig;
use kiln_nn::head::LanguageModelHeadConfig;
use kiln_spec::ValidationError;

pub(super) const FAMILY: Family = Family {
    name: "mt5",
    architectures: &["MT5ForConditionalGeneration", "MT5Model"],
    read_config: read,
    ..t5::FAMILY
};

const DEFAULTS: t5::Defaults = t5::Defaults {
    family: &FAMILY,
    vocab: 250_112,
    intermediate: 1024,
    layers: 8,
    heads: 6,
    feed_forward: "gated-gelu",
};

fn read(fields: &ConfigReader) -> Result<ModelConfig, ValidationError> {
    let head = LanguageModelHeadConfig {
        tied: fields.flag("tie_word_embeddings", true)?,
        ..LanguageModelHeadConfig::default()
    };
    t5::read_with_head(fields, &DEFAULTS, head)
}
