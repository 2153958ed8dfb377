//! Options of multi-head latent attention (MLA), with the names of DeepSeek's configuration.

use crate::{norm::NormConfig, variant::is_default};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Options of [`LatentProjection`](super::LatentProjection).
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct LatentProjectionConfig {
    /// Number of heads.
    pub heads: usize,
    /// Rank of the key-value latent. Absent: hidden / 4.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kv_lora_rank: Option<usize>,
    /// Rank of the query latent. Absent: queries are projected from the hidden state directly.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub q_lora_rank: Option<usize>,
    /// Query and key dimensions per head without rotary embedding. Absent: hidden / heads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub qk_nope_head_dim: Option<usize>,
    /// Query and key dimensions per head with rotary embedding. Absent: half of `qk_nope_head_dim`, rounded up to an
    /// even number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub qk_rope_head_dim: Option<usize>,
    /// Value dimensions per head. Absent: `qk_nope_head_dim`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub v_head_dim: Option<usize>,
    /// Norm of the latents.
    pub norm: NormConfig,
    /// Use biases in the projections to the latents and to the rotary key, and in the output projection.
    #[serde(skip_serializing_if = "is_default")]
    pub bias: bool,
    /// Factor applied to query-key products. Absent: 1/√(width of a query). DeepSeek V3 multiplies it by YaRN's attention
    /// factor squared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scale: Option<f64>,
}

impl Default for LatentProjectionConfig {
    fn default() -> Self {
        Self {
            heads: 4,
            kv_lora_rank: None,
            q_lora_rank: None,
            qk_nope_head_dim: None,
            qk_rope_head_dim: None,
            v_head_dim: None,
            norm: NormConfig::default(),
            bias: false,
            scale: None,
        }
    }
}

/// All widths, defaults filled in.
#[derive(Clone, Copy, Debug)]
pub(super) struct LatentDims {
    /// Heads H.
    pub heads: usize,
    /// Rank R of the key-value latent.
    pub rank: usize,
    /// Width N of a head's part without position.
    pub nope: usize,
    /// Width P of a head's rotary part.
    pub rope: usize,
    /// Value width E of a head.
    pub value: usize,
}

impl LatentProjectionConfig {
    /// The widths for a hidden width.
    pub(super) fn dims(&self, hidden: usize) -> LatentDims {
        let nope = self.qk_nope_head_dim.unwrap_or(hidden / self.heads.max(1));
        LatentDims {
            heads: self.heads,
            rank: self.kv_lora_rank.unwrap_or(hidden / 4),
            nope,
            rope: self.qk_rope_head_dim.unwrap_or((nope / 2).next_multiple_of(2)),
            value: self.v_head_dim.unwrap_or(nope),
        }
    }
}
