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
//! | xPos | queries and keys, by side | | 2212.10554 |
//! | ALiBi | scores, in tile | | 2108.12409 |
//! | T5 | scores, in tile | `weight [buckets, H]`, shared by the layers | 1910.10683 |
//! | CoPE | scores, reference | `weight [positions, D]`, shared by heads and layers | 2405.18719 |
//! | Shaw | scores and outputs, reference | `key [2k + 1, D]`, `value [2k + 1, D]`, shared by heads and layers | 1803.02155 |
//! | Self-Extend | queries and keys, and scores, reference | | 2401.01325 |
//!
//! An attention inherits the encoding of its stack or has its own (not one that is added to embeddings). Positions count from
//! 0 in each document. Cross-attention has no position: its keys are tokens of another sequence.
//!
//! What an encoding asks of the model (an even width, a longest sequence, a place in the embeddings) is stated by its options,
//! [`PositionNeeds`], and by its card. To add one: a file here and its list line below.

pub mod alibi;
pub mod cope;
mod head_table;
mod learned;
mod no_position;
mod rotary;
pub mod rotary_scaling;
mod self_extend;
mod shaw;
mod sinusoidal;
pub mod t5;
mod xpos;

pub use alibi::{Alibi, AlibiConfig};
pub use cope::{Cope, CopeConfig};
pub use learned::{LearnedPosition, LearnedPositionConfig};
pub use no_position::NoPosition;
pub use rotary::{RotaryEmbedding, RotaryEmbeddingConfig};
pub use rotary_scaling::RotaryScaling;
pub use self_extend::{SelfExtend, SelfExtendConfig};
pub use shaw::{Shaw, ShawConfig};
pub use sinusoidal::{SinusoidalPosition, SinusoidalPositionConfig};
pub use t5::{RelativeBias, RelativeBiasConfig};
pub use xpos::{XPos, XPosConfig};

use crate::context::Context;
use burn::tensor::Tensor;
use kiln_kernels::attention::ScoreBias;
use kiln_spec::ValidationError;
use std::sync::Arc;

/// Position encoding: the places where it acts. The default of each method changes nothing.
pub trait PositionEncoding {
    /// Adds positions to the embeddings, `[B, T, M] → [B, T, M]`.
    fn embed(&self, x: Tensor<3>, _cx: &mut Context) -> Tensor<3> {
        x
    }

    /// Transforms the queries or the keys of this call, `[B, H, T, D] → [B, H, T, D]`. Keys are cached transformed.
    fn transform(&self, _side: Side, x: Tensor<4>, _cx: &mut Context) -> Tensor<4> {
        x
    }

    /// Returns the bias of the scores of `heads` heads. It is added to q · k times `scale`.
    fn bias(&self, _heads: usize, _scale: f64, _cx: &Context) -> Option<Arc<dyn ScoreBias>> {
        None
    }
}

/// Side of a score q · k.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Queries.
    Query,
    /// Keys.
    Key,
}

/// What the options of an encoding ask of the model. The default of each method asks for nothing.
pub trait PositionNeeds {
    /// Whether the encoding is added to the embeddings. It then belongs to a stack; an attention can't have it.
    fn is_added_to_embedding(&self) -> bool {
        false
    }

    /// Returns the largest number of positions; `None` if there is no limit.
    fn max_positions(&self) -> Option<usize> {
        None
    }

    /// Whether tokens are encoded differently in contexts of two lengths. Then a row that outgrows its context length must be
    /// read again from its tokens.
    fn differs_between(&self, _length: usize, _other: usize) -> bool {
        false
    }

    /// Writes defaults that depend on the heads of the attention into the options: `heads` heads, with queries of `width` if
    /// they all have one.
    fn fit_heads(&mut self, _heads: usize, _width: Option<usize>) {}

    /// Checks that the encoding works with `heads` heads, of whose queries and keys it transforms `width` dimensions.
    ///
    /// # Errors
    /// The reason.
    fn check_heads(&self, _heads: usize, _width: usize) -> Result<(), String> {
        Ok(())
    }

    /// Whether the encoding reads whole queries of each head, so that their width must be the same in every call.
    fn reads_queries(&self) -> bool {
        false
    }

    /// Whether an encoding that adds a bias to the scores transforms queries and keys too. Layers that share keys must then have
    /// the same encoding.
    fn transforms_keys(&self) -> bool {
        false
    }

    /// Whether it adds vectors of a head's width to the values.
    fn adds_to_values(&self) -> bool {
        false
    }

    /// Whether it has parameters that attention layers alone read: without a layer that uses them they would have no gradient.
    fn has_attention_parameters(&self) -> bool {
        false
    }
}

crate::variants! {
    /// Position encoding.
    Position, PositionConfig: dyn PositionEncoding, config: dyn PositionNeeds {
        /// No position encoding (NoPE, 2305.19466).
        "none" => None(NoPosition),
        /// Sinusoidal position embeddings (1706.03762).
        "sinusoidal" => Sinusoidal(SinusoidalPosition),
        /// Learned position embeddings (1706.03762, 1810.04805).
        "learned" => Learned(LearnedPosition),
        /// Rotary position embedding (RoPE, 2104.09864).
        "rotary" => Rotary(RotaryEmbedding),
        /// Rotary positions whose products decay with the distance (xPos, 2212.10554).
        "xpos" => XPos(XPos),
        /// Attention with linear biases (ALiBi, 2108.12409).
        "alibi" => Alibi(Alibi),
        /// T5 relative position bias (1910.10683).
        "t5" => T5(RelativeBias),
        /// Contextual position encoding (CoPE, 2405.18719): positions count the keys that a query's gates let through.
        "cope" => Cope(Cope),
        /// Relative position representations (1803.02155): trained vectors for each distance, added to keys and values.
        "shaw" => Shaw(Shaw),
        /// Rotary positions, grouped beyond a window (Self-Extend, 2401.01325): longer texts without training.
        "self_extend" => SelfExtend(SelfExtend),
    }
}

impl Default for PositionConfig {
    fn default() -> Self {
        Self::Rotary(RotaryEmbeddingConfig::default())
    }
}

impl PositionConfig {
    /// Whether it adds a bias to the scores.
    pub fn has_score_bias(&self) -> bool {
        self.card().kernel.is_some()
    }
}

/// Checks that pairs of dimensions can be rotated: an even number above 0 of them.
fn check_pairs(rotated: usize, width: usize) -> Result<(), String> {
    if rotated > 0 && rotated.is_multiple_of(2) {
        return Ok(());
    }
    Err(format!("rotary positions rotate pairs of dimensions; of a head of width {width} they would rotate {rotated}"))
}

/// Returns θ^(−i/pairs) for i = 0 … pairs − 1: radians per token, without scaling.
pub fn inverse_frequencies(theta: f64, pairs: usize) -> Vec<f32> {
    RotaryScaling::default().scaled_frequencies(theta, pairs, 0).0
}

/// Checks the base θ of a geometric series of frequencies.
fn check_theta(theta: f64, path: &str) -> Result<(), ValidationError> {
    if theta > 1.0 && theta.is_finite() {
        return Ok(());
    }
    Err(ValidationError::new(format!("{path}.theta"), format!("θ must be a finite number above 1, found {theta}"))
        .with_suggestion("theta = 10000.0"))
}
