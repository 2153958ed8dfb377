//! Options of gated DeltaNet, and their check.

use crate::{
    norm::NormConfig,
    part::short_convolution,
    variant::{BuildContext, MAX_WIDTH, invalid},
};
use kiln_spec::ValidationError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Options of [`GatedDeltaNet`](super::GatedDeltaNet).
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct GatedDeltaNetConfig {
    /// Number of heads H: heads of values.
    pub heads: usize,
    /// Number of heads of queries and keys, G. Absent: `heads`. Each is shared by heads / key_heads heads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_heads: Option<usize>,
    /// Query and key width of a head. Absent: hidden / (2 × heads).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub head_dim: Option<usize>,
    /// Value width of a head. Absent: hidden / heads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value_dim: Option<usize>,
    /// Width of the short convolutions, W.
    pub conv_width: usize,
    /// Whether β is twice a sigmoid, so that the state may change its sign along a key (2411.12537).
    pub negative_eigenvalues: bool,
    /// Norm of each head's output.
    pub norm: NormConfig,
}

impl Default for GatedDeltaNetConfig {
    fn default() -> Self {
        Self {
            heads: 4,
            key_heads: None,
            head_dim: None,
            value_dim: None,
            conv_width: 4,
            negative_eigenvalues: false,
            norm: NormConfig::default(),
        }
    }
}

impl GatedDeltaNetConfig {
    /// Number of heads of queries and keys, default filled in.
    pub(super) fn groups(&self) -> usize {
        self.key_heads.unwrap_or(self.heads)
    }

    /// Widths D and E of a head's keys and values, defaults filled in.
    pub(super) fn head_dims(&self, build: &BuildContext) -> [usize; 2] {
        let heads = self.heads.max(1);
        [self.head_dim.unwrap_or(build.hidden / (2 * heads)), self.value_dim.unwrap_or(build.hidden / heads)]
    }

    /// Checks the options at `path`.
    pub(super) fn check(&self, build: &BuildContext, path: &str) -> Result<(), ValidationError> {
        let (heads, groups, hidden) = (self.heads, self.groups(), build.hidden);
        if heads == 0 {
            return invalid(path, "heads", "expected at least 1 head, found 0");
        }
        if groups == 0 || !heads.is_multiple_of(groups) {
            return invalid(path, "key_heads", format!("expected a divisor of heads = {heads}, found {groups}"));
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
        short_convolution::check_width(self.conv_width, path)?;
        let norm_build = BuildContext { hidden: self.head_dims(build)[1], ..*build };
        self.norm.check(&norm_build, &format!("{path}.norm"))
    }
}
