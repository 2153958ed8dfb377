//! mT5 (2010.11934): T5 of version 1.1 in many languages. A head that shares the embedding scales nothing.

use super::{Family, fields::Fields, t5};
use crate::config::ModelConfig;
use kiln_nn::head::LanguageConfig;
use kiln_spec::Refusal;
use serde_json::Value;

pub(super) const FAMILY: Family =
    Family { name: "mt5", architectures: &["MT5ForConditionalGeneration", "MT5Model"], read, ..t5::FAMILY };

fn read(json: &Value) -> Result<ModelConfig, Refusal> {
    let fields = Fields::of(FAMILY.name, json)?;
    let head = LanguageConfig { tied: fields.flag("tie_word_embeddings", true)?, ..LanguageConfig::default() };
    let defaults =
        t5::Defaults { family: &FAMILY, vocab: 250_112, inner: 1024, layers: 8, heads: 6, feed_forward: "gated-gelu" };
    t5::model(&fields, &defaults, head)
}
