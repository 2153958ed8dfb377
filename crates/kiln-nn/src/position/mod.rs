//! How order enters. A position belongs to a stack; each attention inherits it or has its own.

pub mod alibi;
mod learned;
mod none;
mod rotary;
pub mod scaling;
mod sinusoidal;
pub mod t5;

pub use alibi::{Alibi, AlibiConfig};
pub use learned::{Learned, LearnedConfig};
pub use none::NoPosition;
pub use rotary::{Rotary, RotaryConfig};
pub use scaling::Scaling;
pub use sinusoidal::{Sinusoidal, SinusoidalConfig};
pub use t5::{T5, T5Config};

use crate::cx::Cx;
use burn::tensor::Tensor;
use kiln_kernels::attention::Bias;
use kiln_spec::Refusal;

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

    /// Added to the scores of `heads` heads, by distance.
    fn bias(&self, _heads: usize, _cx: &Cx) -> Option<Bias> {
        None
    }
}

crate::variants! {
    /// How order enters.
    Position, PositionConfig: dyn Positional {
        /// Not at all: a causal model counts by itself (2305.19466).
        "none" => None(NoPosition),
        /// Sines and cosines of the position, added to the embeddings (1706.03762).
        "sinusoidal" => Sinusoidal(Sinusoidal),
        /// A table of vectors added to the embeddings (1706.03762, 1810.04805).
        "learned" => Learned(Learned),
        /// Queries and keys are turned by their position (2104.09864).
        "rotary" => Rotary(Rotary),
        /// Scores fall with the distance, by a slope for each head (2108.12409).
        "alibi" => Alibi(Alibi),
        /// A trained bias for each bucket of distances and each head (1910.10683).
        "t5" => T5(T5),
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

    /// Whether it is added to the embeddings, and so belongs to a stack, not to a layer.
    pub fn embeds(&self) -> bool {
        matches!(self, Self::Learned(_) | Self::Sinusoidal(_))
    }

    /// Whether it adds to the scores.
    pub fn biases(&self) -> bool {
        matches!(self, Self::Alibi(_) | Self::T5(_))
    }

    /// Refuses heads of this number and width.
    ///
    /// # Errors
    /// The reason.
    pub fn check_heads(&self, heads: usize, width: usize) -> Result<(), String> {
        match self {
            Self::Rotary(rotary) if rotary.turned(width) % 2 == 1 || rotary.turned(width) == 0 => Err(format!(
                "rotary positions turn pairs: of heads {width} wide {} dimensions can't be turned",
                rotary.turned(width)
            )),
            Self::T5(T5Config { heads: Some(table), .. }) if *table != heads => {
                Err(format!("the stack's t5 positions have a bias for {table} heads, the attention has {heads}"))
            }
            _ => Ok(()),
        }
    }
}

/// θ^(−i/pairs), i = 0 … pairs−1, in turns of a radian a token.
pub fn frequencies(theta: f64, pairs: usize) -> Vec<f32> {
    Scaling::default().apply(theta, pairs).0
}

fn check_theta(theta: f64, path: &str) -> Result<(), Refusal> {
    if theta > 1.0 && theta.is_finite() {
        return Ok(());
    }
    Err(Refusal::new(format!("{path}.theta"), format!("θ must be above 1, found {theta}")).instead("theta = 10000.0"))
}
