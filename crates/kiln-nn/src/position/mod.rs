//! Position encodings: how token order enters a model.
//!
//! A stack has one position encoding. It can act in three places, the methods of [`PositionEncoding`]:
//!
//! | encoding | acts on | parameters | paper |
//! |---|---|---|---|
//! | none | – | | 2305.19466 |
//! | sinusoidal | embeddings | | 1706.03762 |
//! | learned | embeddings | `weight [positions, M]` | 1706.03762 |
//! | rotary (RoPE) | queries and keys | | 2104.09864 |
//! | ALiBi | scores | | 2108.12409 |
//! | T5 | scores | `weight [buckets, H]`, shared by the layers | 1910.10683 |
//!
//! An attention inherits the encoding of its stack or has its own (rotary, ALiBi, T5 or none). Positions count from 0 in each
//! document. Cross-attention has no position: its keys are tokens of another sequence.

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

/// Position encoding: the places where it acts. The default of each method changes nothing.
pub trait PositionEncoding {
    /// Adds positions to the embeddings, `[B, T, M] → [B, T, M]`.
    fn embed(&self, x: Tensor<3>, _cx: &mut Context) -> Tensor<3> {
        x
    }

    /// Rotates queries or keys, `[B, H, T, D] → [B, H, T, D]`. Keys are cached rotated.
    fn rotate(&self, x: Tensor<4>, _cx: &mut Context) -> Tensor<4> {
        x
    }

    /// Returns the bias of the scores of `heads` heads, by distance. It is added to q · k times `scale`.
    fn bias(&self, _heads: usize, _scale: f64, _cx: &Context) -> Option<DistanceBias> {
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
    /// Returns the number of positions of a learned table; `None` for encodings without a limit.
    pub fn max_positions(&self) -> Option<usize> {
        match self {
            Self::Learned(c) => Some(c.max_position_embeddings),
            _ => None,
        }
    }

    /// Whether it is added to the embeddings. Such an encoding belongs to a stack; an attention can't have it.
    pub fn is_added_to_embedding(&self) -> bool {
        matches!(self, Self::Learned(_) | Self::Sinusoidal(_))
    }

    /// Whether it adds a bias to the scores.
    pub fn has_score_bias(&self) -> bool {
        matches!(self, Self::Alibi(_) | Self::T5(_))
    }

    /// Checks that the encoding works with `heads` heads of `width`.
    ///
    /// # Errors
    /// The reason: rotary needs an even number of dimensions above 0, T5 a table for the same number of heads.
    pub fn check_heads(&self, heads: usize, width: usize) -> Result<(), String> {
        match self {
            Self::Rotary(rotary) if rotary.rotary_dim(width) % 2 == 1 || rotary.rotary_dim(width) == 0 => Err(format!(
                "rotary positions rotate pairs of dimensions; of a head of width {width} they would rotate {}",
                rotary.rotary_dim(width)
            )),
            Self::T5(RelativeBiasConfig { heads: Some(table), .. }) if *table != heads => {
                Err(format!("the t5 positions of the stack have a bias for {table} heads, the attention has {heads}"))
            }
            _ => Ok(()),
        }
    }
}

/// Returns θ^(−i/pairs) for i = 0 … pairs − 1: radians per token, without scaling.
pub fn inverse_frequencies(theta: f64, pairs: usize) -> Vec<f32> {
    RotaryScaling::default().scaled_frequencies(theta, pairs).0
}

/// Checks the base θ of a geometric series of frequencies.
fn check_theta(theta: f64, path: &str) -> Result<(), ValidationError> {
    if theta > 1.0 && theta.is_finite() {
        return Ok(());
    }
    Err(ValidationError::new(format!("{path}.theta"), format!("θ must be a finite number above 1, found {theta}"))
        .with_suggestion("theta = 10000.0"))
}
