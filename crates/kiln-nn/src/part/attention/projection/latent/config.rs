//! Options of latent attention.

use crate::norm::NormConfig;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Options of [`Latent`](super::Latent).
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct LatentConfig {
    /// Query heads.
    pub heads: usize,
    /// Rank of the latent that keys and values are made of; absent: hidden / 4.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rank: Option<usize>,
    /// Rank of the latent that queries are made of; absent: queries are made of the hidden state.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub query_rank: Option<usize>,
    /// Width of a head's part without position; absent: hidden / heads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub head_dim: Option<usize>,
    /// Width of a head's part that is turned by its position; absent: half of the other, made even.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rope_dim: Option<usize>,
    /// Width of a head's value; absent: as `head_dim`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value_dim: Option<usize>,
    /// The norm of the latents.
    pub norm: NormConfig,
}

impl Default for LatentConfig {
    fn default() -> Self {
        Self {
            heads: 4,
            rank: None,
            query_rank: None,
            head_dim: None,
            rope_dim: None,
            value_dim: None,
            norm: NormConfig::default(),
        }
    }
}

/// The widths, filled in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Widths {
    pub heads: usize,
    pub rank: usize,
    pub plain: usize,
    pub turned: usize,
    pub value: usize,
}

impl LatentConfig {
    pub(super) fn widths(&self, hidden: usize) -> Widths {
        let plain = self.head_dim.unwrap_or(hidden / self.heads.max(1));
        Widths {
            heads: self.heads,
            rank: self.rank.unwrap_or(hidden / 4),
            plain,
            turned: self.rope_dim.unwrap_or((plain / 2).next_multiple_of(2)),
            value: self.value_dim.unwrap_or(plain),
        }
    }
}
