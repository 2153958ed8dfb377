//! How order enters. A position belongs to a stack; each attention inherits it or has its own.

pub mod alibi;
mod learned;
mod no_position;
mod rotary;
pub mod rotary_scaling;
mod sinusoidal;
pub mod t5;

pub use alibi::{Alibi, AlibiConfig};
pub use learned::{LearnedPosition, LearnedPositionConfig};
pub use no_position::NoPosition;
pub use rotary::{RotaryEmbedding, RotaryEmbeddingConfig};
pub use rotary_scaling::RotaryScaling;
pub use sinusoidal::{SinusoidalPosition, SinusoidalPositionConfig};
pub use t5::{RelativeBias, RelativeBiasConfig};

use crate::context::Context;
use burn::tensor::Tensor;
use kiln_kernels::attention::DistanceBias;
use kiln_spec::ValidationError;

/// Where order can enter. What a position doesn't do, it leaves as it was.
pub trait PositionEncoding {
    /// Added to the embeddings, `[B, T, M] → [B, T, M]`.
    fn embed(&self, x: Tensor<3>, _cx: &mut Context) -> Tensor<3> {
        x
    }

    /// Turns queries and keys before keys are kept, `[B, H, T, D] → [B, H, T, D]`.
    fn rotate(&self, x: Tensor<4>, _cx: &mut Context) -> Tensor<4> {
        x
    }

    /// Added to the scores of `heads` heads, by distance.
    fn bias(&self, _heads: usize, _cx: &Context) -> Option<DistanceBias> {
        None
    }
}

crate::variants! {
    /// Position encoding.
    Position, PositionConfig: dyn PositionEncoding {
        /// No position encoding (NoPE, 2305.19466).
        "none" => None(NoPosition),
        /// Sinusoidal position embeddings (1706.03762).
        "sinusoidal" => Sinusoidal(SinusoidalPosition),
        /// Learned position embeddings (1706.03762, 1810.04805).
        "learned" => Learned(LearnedPosition),
        /// Rotary position embedding (RoPE, 2104.09864).
        "rotary" => Rotary(RotaryEmbedding),
        /// Attention with linear biases (ALiBi, 2108.12409).
        "alibi" => Alibi(Alibi),
        /// T5 relative position bias (1910.10683).
        "t5" => T5(RelativeBias),
    }
}

impl Default for PositionConfig {
    fn default() -> Self {
        Self::Rotary(RotaryEmbeddingConfig::default())
    }
}

impl PositionConfig {
    /// How many positions there are; `None` without bound.
    pub fn max_positions(&self) -> Option<usize> {
        match self {
            Self::Learned(c) => Some(c.max_position_embeddings),
            _ => None,
        }
    }

    /// Whether it is added to the embeddings, and so belongs to a stack, not to a layer.
    pub fn is_added_to_embedding(&self) -> bool {
        matches!(self, Self::Learned(_) | Self::Sinusoidal(_))
    }

    /// Whether it adds to the scores.
    pub fn has_score_bias(&self) -> bool {
        matches!(self, Self::Alibi(_) | Self::T5(_))
    }

    /// Refuses heads of this number and width.
    ///
    /// # Errors
    /// The reason.
    pub fn check_heads(&self, heads: usize, width: usize) -> Result<(), String> {
        match self {
            Self::Rotary(rotary) if rotary.rotary_dim(width) % 2 == 1 || rotary.rotary_dim(width) == 0 => Err(format!(
                "rotary positions turn pairs: of heads {width} wide {} dimensions can't be turned",
                rotary.rotary_dim(width)
            )),
            Self::T5(RelativeBiasConfig { heads: Some(table), .. }) if *table != heads => {
                Err(format!("the stack's t5 positions have a bias for {table} heads, the attention has {heads}"))
            }
            _ => Ok(()),
        }
    }
}

/// θ^(−i/pairs), i = 0 … pairs−1, in turns of a radian a token.
pub fn inverse_frequencies(theta: f64, pairs: usize) -> Vec<f32> {
    RotaryScaling::default().scaled_frequencies(theta, pairs).0
}

fn check_theta(theta: f64, path: &str) -> Result<(), ValidationError> {
    if theta > 1.0 && theta.is_finite() {
        return Ok(());
    }
    Err(ValidationError::new(format!("{path}.theta"), format!("θ must be above 1, found {theta}"))
        .with_suggestion("theta = 10000.0"))
}
