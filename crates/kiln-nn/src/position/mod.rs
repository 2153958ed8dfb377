//! How order enters. A position belongs to a stack; each attention inherits it or has its own.

mod learned;
mod none;
mod rotary;

pub use learned::{Learned, LearnedConfig};
pub use none::NoPosition;
pub use rotary::{Rotary, RotaryConfig};

use crate::cx::Cx;
use burn::tensor::Tensor;

/// Where order can enter. What a position doesn't do, it leaves as it was.
pub trait Positional {
    /// Added to the embeddings, `[B, T, M] → [B, T, M]`.
    fn embed(&self, x: Tensor<3>, _cx: &mut Cx) -> Tensor<3> {
        x
    }

    /// Turns queries and keys before keys are kept, `[B, H, T, D] → [B, H, T, D]`.
    fn rotate(&self, x: Tensor<4>, _cx: &mut Cx) -> Tensor<4> {
        x
    }
}

crate::variants! {
    /// How order enters.
    Position, PositionConfig: dyn Positional {
        /// Not at all: a causal model counts by itself (2305.19466).
        "none" => None(NoPosition),
        /// A table of vectors added to the embeddings (1706.03762, 1810.04805).
        "learned" => Learned(Learned),
        /// Queries and keys are turned by their position (2104.09864).
        "rotary" => Rotary(Rotary),
    }
}

impl Default for PositionConfig {
    fn default() -> Self {
        Self::Rotary(RotaryConfig::default())
    }
}

impl PositionConfig {
    /// How many positions there are; `None` without bound.
    pub fn limit(&self) -> Option<usize> {
        match self {
            Self::Learned(c) => Some(c.length),
            _ => None,
        }
    }
}
