//! Options of low-rank adaptation (2106.09685).

use kiln_nn::adapter::{LoraShape, LoraStart};
use kiln_spec::Refusal;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// No middle is wider: beyond it a rank is a slip.
const WIDEST: usize = 1 << 16;

/// Options of a LoRA: y = x W + b + s · dropout(x) A B, with A `[in, rank]` and B `[rank, out]`.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct LoraConfig {
    /// Width of the middle, r.
    pub rank: usize,
    /// α of the scale s = α / r.
    pub alpha: f64,
    /// Whether s = α / √r, which doesn't fade as the rank grows (2312.03732).
    pub rs: bool,
    /// Share of the inputs of A that are left out while training.
    pub dropout: f64,
    /// Names of the linear maps that get one; `*` stands for any characters. A pattern fits a whole name,
    /// `blocks.0.attention.q`, or its end after a dot: `q`, `attention.q`.
    pub targets: Vec<String>,
    /// What A is at first; B is 0, so that the model is as it was.
    pub start: LoraStart,
}

impl Default for LoraConfig {
    fn default() -> Self {
        let targets = ["attention.q", "attention.v"].map(String::from).into();
        Self { rank: 8, alpha: 16.0, rs: false, dropout: 0.0, targets, start: LoraStart::Uniform }
    }
}

impl LoraConfig {
    /// What makes these beside maps of these names.
    pub(crate) fn of(shape: LoraShape, targets: Vec<String>) -> Self {
        let LoraShape { rank, alpha, rs, dropout, start } = shape;
        Self { rank, alpha, rs, dropout, targets, start }
    }

    /// What stands beside each map.
    pub fn shape(&self) -> LoraShape {
        let Self { rank, alpha, rs, dropout, start, .. } = *self;
        LoraShape { rank, alpha, rs, dropout, start }
    }

    /// Refuses what can't be, with its path.
    pub(crate) fn check(&self, path: &str) -> Result<(), Refusal> {
        let refuse = |key: &str, reason: String| Err(Refusal::new(format!("{path}.{key}"), reason));
        match self {
            _ if self.rank == 0 || self.rank > WIDEST => {
                refuse("rank", format!("a rank from 1 to {WIDEST}, found {}", self.rank))
            }
            _ if !(self.alpha > 0.0 && self.alpha.is_finite()) => {
                refuse("alpha", format!("a number above 0, found {}", self.alpha))
            }
            _ if !(0.0..1.0).contains(&self.dropout) => {
                refuse("dropout", format!("a share from 0 up to but without 1, found {}", self.dropout))
            }
            _ => Ok(()),
        }
    }
}
