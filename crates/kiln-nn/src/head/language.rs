//! The language-model head: logits = h Wᵀ, with W the embedding (1608.05859) or a matrix of its own.

use super::Output;
use crate::{
    init::Init,
    variant::{Around, Card, Variant},
};
use burn::{
    module::{Module, Param},
    tensor::Tensor,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Options of [`Language`].
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct LanguageConfig {
    /// Whether the embedding's weights are used.
    pub tied: bool,
}

impl Default for LanguageConfig {
    fn default() -> Self {
        Self { tied: true }
    }
}

/// Logits over the vocabulary.
#[derive(Module, Debug)]
pub struct Language {
    weight: Option<Param<Tensor<2>>>,
}

impl Variant for Language {
    type Config = LanguageConfig;
    const CARD: Card = Card::new("language", "1608.05859");

    fn init(config: &LanguageConfig, around: &Around, init: &mut Init) -> Self {
        let (vocab, m) = (around.vocab, around.hidden);
        let weight = (!config.tied).then(|| init.normal("weight", [m, vocab], 1.0 / (m as f64).sqrt()));
        Self { weight }
    }
}

impl Output for Language {
    fn forward(&self, hidden: Tensor<2>, embedding: Tensor<2>) -> Tensor<2> {
        match &self.weight {
            Some(weight) => hidden.matmul(weight.val()),
            None => hidden.matmul(embedding.transpose()),
        }
    }

    fn tied(&self) -> bool {
        self.weight.is_none()
    }
}
