//! Options of low-rank adaptation (LoRA, 2106.09685).

use kiln_nn::adapter::{LoraInit, LoraSpec};
use kiln_spec::ValidationError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Greatest rank. A rank of this size is no longer low for any layer: a larger number is a typing error.
const MAX_RANK: usize = 1 << 16;

/// Options of a LoRA: y = x W + b + s · dropout(x) A B, with A `[in, rank]` and B `[rank, out]`.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct LoraConfig {
    /// Rank r of the matrices A and B.
    pub rank: usize,
    /// Scaling numerator: the adapter output is multiplied by alpha / rank (with `rslora`, by alpha / √rank).
    pub alpha: f64,
    /// Use rank-stabilized LoRA: multiply the adapter output by alpha / √rank (2312.03732).
    pub rslora: bool,
    /// Dropout probability of the adapter input.
    pub dropout: f64,
    /// Patterns of the linear layers to adapt; `*` matches any characters. A pattern matches a whole name
    /// (`blocks.0.attention.q`) or its end after a dot (`q`, `attention.q`). `all-linear`: all linear layers but those of
    /// the head.
    pub target_modules: Vec<String>,
    /// Initialization of A. B is initialized to 0, so that the model is unchanged at the start.
    pub init: LoraInit,
}

impl Default for LoraConfig {
    fn default() -> Self {
        let targets = ["attention.q", "attention.v"].map(String::from).into();
        Self { rank: 8, alpha: 16.0, rslora: false, dropout: 0.0, target_modules: targets, init: LoraInit::Uniform }
    }
}

impl LoraConfig {
    /// The options of a LoRA with these patterns.
    pub(crate) fn from_spec(spec: LoraSpec, target_modules: Vec<String>) -> Self {
        let LoraSpec { rank, alpha, rslora, dropout, init } = spec;
        Self { rank, alpha, rslora, dropout, target_modules, init }
    }

    /// The LoRA of one layer, without parameters.
    pub fn spec(&self) -> LoraSpec {
        let Self { rank, alpha, rslora, dropout, init, .. } = *self;
        LoraSpec { rank, alpha, rslora, dropout, init }
    }

    /// Checks the ranges of the options. NaN is out of every range.
    pub(crate) fn check(&self, path: &str) -> Result<(), ValidationError> {
        let (key, reason) = match self {
            _ if self.rank == 0 || self.rank > MAX_RANK => {
                ("rank", format!("expected a rank from 1 to {MAX_RANK}, found {}", self.rank))
            }
            _ if !(self.alpha > 0.0 && self.alpha.is_finite()) => {
                ("alpha", format!("expected a finite number above 0, found {}", self.alpha))
            }
            _ if !(0.0..1.0).contains(&self.dropout) => {
                ("dropout", format!("expected a number of at least 0 and below 1, found {}", self.dropout))
            }
            _ => return Ok(()),
        };
        Err(ValidationError::new(format!("{path}.{key}"), reason))
    }
}
