//! Prompt tuning: trained vectors in front of each document, in place of token embeddings (2104.08691, section 2).
//!
//! Parameters: `prompt [n, M]`. The n virtual tokens have the first n positions of a document, every token sees them, and they
//! predict nothing. They are scaled, and added to positions, like the embeddings of tokens. Cost: that of n more tokens per
//! document.

use super::{
    Adapter, AdapterOptions, Site, SiteKind,
    options::{common, invalid},
};
use crate::init::Initializer;
use burn::{
    module::{Module, Param},
    tensor::Tensor,
};
use kiln_spec::ValidationError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Greatest number of virtual tokens. A larger number is a typing error.
const MAX_VIRTUAL_TOKENS: usize = 1 << 16;

/// Initialization of virtual tokens.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Default)]
#[serde(rename_all = "snake_case")]
pub enum PromptInit {
    /// Embeddings of tokens that are drawn from the vocabulary.
    #[default]
    SampleVocab,
    /// Uniform within ±0.5.
    Random,
}

/// Options of prompt tuning.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct PromptTuningConfig {
    /// Number of virtual tokens before each document.
    pub num_virtual_tokens: usize,
    /// Initialization of the virtual tokens.
    pub init: PromptInit,
}

impl Default for PromptTuningConfig {
    fn default() -> Self {
        Self { num_virtual_tokens: 20, init: PromptInit::SampleVocab }
    }
}

impl AdapterOptions for PromptTuningConfig {
    type Spec = Self;

    fn check(&self, path: &str) -> Result<(), ValidationError> {
        match self.num_virtual_tokens {
            1..=MAX_VIRTUAL_TOKENS => Ok(()),
            n => Err(invalid(path, "num_virtual_tokens", &format!("1 to {MAX_VIRTUAL_TOKENS} tokens"), n)),
        }
    }

    fn targets(&self) -> &[String] {
        &[]
    }

    fn describe(&self) -> String {
        format!("{} virtual tokens", self.num_virtual_tokens)
    }

    fn num_virtual_tokens(&self) -> usize {
        self.num_virtual_tokens
    }

    fn spec(&self, _path: &str) -> Self {
        *self
    }

    fn from_specs(specs: &BTreeMap<String, Self>) -> Option<Self> {
        common(specs)
    }
}

/// Virtual tokens.
#[derive(Module, Debug)]
pub struct PromptTuning {
    /// Vectors of the virtual tokens, `[n, M]`.
    pub prompt: Param<Tensor<2>>,
}

impl Adapter for PromptTuning {
    type Config = PromptTuningConfig;
    const TITLE: &'static str = "prompt tuning";
    const SITES: &'static [SiteKind] = &[SiteKind::Tokens];

    fn init(spec: &PromptTuningConfig, site: &Site, init: &mut Initializer) -> Self {
        let ([_, rows, width], n) = (site.map_shape(), spec.num_virtual_tokens);
        let prompt = match init.base_weight().filter(|_| spec.init == PromptInit::SampleVocab) {
            Some(table) => init.value(table.rows(&init.choose("prompt", n, rows))),
            None => init.uniform("prompt", [n, width], 0.5),
        };
        Self { prompt }
    }

    fn tokens(&self) -> Option<Tensor<2>> {
        Some(self.prompt.val())
    }

    fn weight_change(&self, _weight: &Tensor<2>) -> Option<Tensor<2>> {
        None
    }

    fn flops(&self) -> f64 {
        0.0
    }
}
