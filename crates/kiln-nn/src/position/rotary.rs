//! Rotary position embedding (RoPE): pair i of a head's dimensions rotated by position · θ^(−i/P) (2104.09864, eq. 34).
//!
//! Queries and keys are rotated, so their product depends on the difference of positions. No parameters. P = D / 2 pairs, or
//! fewer with `partial_factor` (GPT-NeoX, Phi): the other dimensions carry no position. Longer contexts by
//! [`RotaryScaling`]. cos and sin are computed once per call for all layers; the rotation is the kernel
//! [`apply_rotary`].

use super::{PositionEncoding, PositionNeeds, Side, rotary_scaling::RotaryScaling};
use crate::{
    context::Context,
    init::Initializer,
    variant::{BuildContext, Card, Variant},
};
use burn::{module::Module, tensor::Tensor};
use kiln_kernels::rotary::{RotaryPairing, apply_rotary};
use kiln_spec::ValidationError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Options of [`RotaryEmbedding`].
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct RotaryEmbeddingConfig {
    /// Base θ of the frequencies.
    pub theta: f64,
    /// Rotate neighboring dimensions (2i, 2i + 1), as in the paper and GPT-J. false: rotate (i, i + d/2), as in NeoX
    /// and Llama.
    pub interleaved: bool,
    /// Fraction of a head's dimensions that are rotated, starting with the first.
    pub partial_factor: f64,
    /// Frequency scaling for longer contexts.
    pub scaling: RotaryScaling,
}

impl Default for RotaryEmbeddingConfig {
    fn default() -> Self {
        Self { theta: 10_000.0, interleaved: false, partial_factor: 1.0, scaling: RotaryScaling::default() }
    }
}

impl RotaryEmbeddingConfig {
    /// Returns which dimensions form a pair.
    pub fn pairing(&self) -> RotaryPairing {
        if self.interleaved { RotaryPairing::Interleaved } else { RotaryPairing::Half }
    }

    /// Returns the number of rotated dimensions of a head of `width`: `partial_factor` of it, rounded down as in the
    /// reference implementations.
    pub fn rotary_dim(&self, width: usize) -> usize {
        (width as f64 * self.partial_factor) as usize
    }
}

impl PositionNeeds for RotaryEmbeddingConfig {
    fn check_heads(&self, _heads: usize, width: usize) -> Result<(), String> {
        let rotated = self.rotary_dim(width);
        super::check_pairs(rotated, width)?;
        self.scaling.check_pairs(rotated / 2)
    }

    fn differs_between(&self, length: usize, other: usize) -> bool {
        self.scaling.differs_between(length, other)
    }
}

/// Rotary position embedding.
#[derive(Module, Debug)]
pub struct RotaryEmbedding {
    #[module(skip)]
    config: RotaryEmbeddingConfig,
}

impl Variant for RotaryEmbedding {
    type Config = RotaryEmbeddingConfig;
    const CARD: Card =
        Card { incompatible_with: "an odd number of rotated dimensions", ..Card::new("rotary", "2104.09864") };

    fn check(config: &RotaryEmbeddingConfig, _build: &BuildContext, path: &str) -> Result<(), ValidationError> {
        super::check_theta(config.theta, path)?;
        if !(config.partial_factor > 0.0 && config.partial_factor <= 1.0) {
            let reason = format!("expected a fraction above 0 and at most 1, found {}", config.partial_factor);
            return Err(
                ValidationError::new(format!("{path}.partial_factor"), reason).with_suggestion("partial_factor = 1.0")
            );
        }
        match config.scaling.invalid_field() {
            Some((key, reason)) => {
                Err(ValidationError::new(format!("{path}.scaling.{}.{key}", config.scaling.name()), reason))
            }
            None => Ok(()),
        }
    }

    fn init(config: &RotaryEmbeddingConfig, _build: &BuildContext, _init: &mut Initializer) -> Self {
        Self { config: config.clone() }
    }
}

impl PositionEncoding for RotaryEmbedding {
    fn transform(&self, _side: Side, x: Tensor<4>, cx: &mut Context) -> Tensor<4> {
        let pairs = self.config.rotary_dim(x.dims()[3]) / 2;
        let RotaryEmbeddingConfig { theta, scaling, .. } = &self.config;
        let (cos, sin) = if scaling.follows_length() {
            let frequencies = |length| scaling.scaled_frequencies(*theta, pairs, length).0;
            cx.stream.rotary_table_by_length(frequencies, scaling.attention_factor())
        } else {
            let (frequencies, factor) = scaling.scaled_frequencies(*theta, pairs, 0);
            cx.stream.rotary_table(&frequencies, factor)
        };
        apply_rotary(x, cos, sin, self.config.pairing())
    }
}
