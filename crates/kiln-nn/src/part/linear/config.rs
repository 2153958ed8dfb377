//! What gated linear attention may be.

use crate::{
    norm::NormConfig,
    variant::{Around, WIDEST},
};
use kiln_spec::Refusal;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Options of [`super::Gla`].
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct GlaConfig {
    /// Heads, each with a state of its own.
    pub heads: usize,
    /// Width of a head's queries and keys; absent: hidden / (2 × heads).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub head_dim: Option<usize>,
    /// Width of a head's values; absent: hidden / heads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value_dim: Option<usize>,
    /// Rank of the matrix that makes the decays.
    pub rank: usize,
    /// τ: decays are the τ-th root of a sigmoid, the larger the closer to 1.
    pub temperature: f64,
    /// The norm of each head's output.
    pub norm: NormConfig,
}

impl Default for GlaConfig {
    fn default() -> Self {
        Self { heads: 4, head_dim: None, value_dim: None, rank: 16, temperature: 16.0, norm: NormConfig::default() }
    }
}

impl GlaConfig {
    /// Widths of a head's keys and values.
    pub(super) fn widths(&self, around: &Around) -> [usize; 2] {
        let heads = self.heads.max(1);
        [self.head_dim.unwrap_or(around.hidden / (2 * heads)), self.value_dim.unwrap_or(around.hidden / heads)]
    }

    /// Refuses what can't be.
    pub(super) fn check(&self, around: &Around, path: &str) -> Result<(), Refusal> {
        let refuse = |key: &str, reason: String| Err(Refusal::new(format!("{path}.{key}"), reason));
        let (heads, hidden) = (self.heads, around.hidden);
        if heads == 0 {
            return refuse("heads", "attention without heads".into());
        }
        if self.head_dim.is_none() && !hidden.is_multiple_of(2usize.saturating_mul(heads)) {
            return refuse(
                "heads",
                format!("{heads} heads don't divide the width of the keys, hidden / 2 = {hidden} / 2"),
            );
        }
        if self.value_dim.is_none() && !hidden.is_multiple_of(heads) {
            return refuse("heads", format!("{heads} heads don't divide hidden = {hidden}"));
        }
        for (key, width) in ["head_dim", "value_dim"].into_iter().zip(self.widths(around)) {
            if width == 0 {
                return refuse(key, "heads of width 0".into());
            }
            if width.saturating_mul(heads) > WIDEST {
                return refuse(key, format!("{heads} heads of {width}: at most {WIDEST} together"));
            }
        }
        if self.rank == 0 || self.rank > WIDEST {
            return refuse("rank", format!("a rank from 1 to {WIDEST}, found {}", self.rank));
        }
        if !(self.temperature > 0.0 && self.temperature.is_finite()) {
            return refuse("temperature", format!("τ must be above 0, found {}", self.temperature));
        }
        let own = Around { hidden: self.widths(around)[1], ..*around };
        self.norm.check(&own, &format!("{path}.norm"))
    }
}
