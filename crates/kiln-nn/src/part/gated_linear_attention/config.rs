//! Options of gated linear attention, and their check.

use crate::{
    norm::NormConfig,
    variant::{BuildContext, MAX_WIDTH, invalid},
};
use kiln_spec::ValidationError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Options of [`GatedLinearAttention`](super::GatedLinearAttention).
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct GatedLinearAttentionConfig {
    /// Number of heads.
    pub heads: usize,
    /// Query and key width of a head. Absent: hidden / (2 × heads).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub head_dim: Option<usize>,
    /// Value width of a head. Absent: hidden / heads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value_dim: Option<usize>,
    /// Rank of the low-rank projection that computes the decay.
    pub rank: usize,
    /// Temperature τ: the decay is σ(·)^(1/τ). Larger values decay more slowly.
    pub temperature: f64,
    /// Norm of each head's output.
    pub norm: NormConfig,
}

impl Default for GatedLinearAttentionConfig {
    fn default() -> Self {
        Self { heads: 4, head_dim: None, value_dim: None, rank: 16, temperature: 16.0, norm: NormConfig::default() }
    }
}

impl GatedLinearAttentionConfig {
    /// Widths D and E of a head's keys and values, defaults filled in.
    pub(super) fn head_dims(&self, build: &BuildContext) -> [usize; 2] {
        let heads = self.heads.max(1);
        [self.head_dim.unwrap_or(build.hidden / (2 * heads)), self.value_dim.unwrap_or(build.hidden / heads)]
    }

    /// Checks the options at `path`.
    pub(super) fn check(&self, build: &BuildContext, path: &str) -> Result<(), ValidationError> {
        let (heads, hidden) = (self.heads, build.hidden);
        if heads == 0 {
            return invalid(path, "heads", "expected at least 1 head, found 0");
        }
        if self.head_dim.is_none() && !hidden.is_multiple_of(2usize.saturating_mul(heads)) {
            return invalid(
                path,
                "heads",
                format!("heads = {heads} does not divide the width of the keys, hidden / 2 = {hidden} / 2"),
            );
        }
        if self.value_dim.is_none() && !hidden.is_multiple_of(heads) {
            return invalid(path, "heads", format!("heads = {heads} does not divide hidden = {hidden}"));
        }
        for (key, width) in ["head_dim", "value_dim"].into_iter().zip(self.head_dims(build)) {
            if width == 0 {
                return invalid(path, key, "expected at least 1, found 0");
            }
            if width.saturating_mul(heads) > MAX_WIDTH {
                return invalid(
                    path,
                    key,
                    format!("heads × {key} must be at most {MAX_WIDTH}, found {heads} × {width}"),
                );
            }
        }
        if self.rank == 0 || self.rank > MAX_WIDTH {
            return invalid(path, "rank", format!("expected a rank from 1 to {MAX_WIDTH}, found {}", self.rank));
        }
        if !(self.temperature > 0.0 && self.temperature.is_finite()) {
            return invalid(
                path,
                "temperature",
                format!("τ must be a finite number above 0, found {}", self.temperature),
            );
        }
        let norm_build = BuildContext { hidden: self.head_dims(build)[1], ..*build };
        self.norm.check(&norm_build, &format!("{path}.norm"))
    }
}
