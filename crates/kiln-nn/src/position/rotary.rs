//! Rotary positions: pairs of a head's dimensions are turned by position · θ^(−i/pairs) (2104.09864, eq. 34).

use super::{PositionEncoding, rotary_scaling::RotaryScaling};
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

/// Options of [`Rotary`].
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct RotaryEmbeddingConfig {
    /// Base θ of the frequencies.
    pub theta: f64,
    /// Rotate neighboring dimensions (2i, 2i + 1), as in the paper and GPT-J. false: rotate (i, i + d/2), as in NeoX
    /// and Llama.
    pub interleaved: bool,
    /// Fraction of a head's dimensions that are rotated, from the first on.
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
    /// The layout of the rotated pairs, as the kernel names it.
    pub fn pairing(&self) -> RotaryPairing {
        if self.interleaved { RotaryPairing::Interleaved } else { RotaryPairing::Half }
    }

    /// Dimensions of a head of `width` that are turned.
    pub fn rotary_dim(&self, width: usize) -> usize {
        (width as f64 * self.partial_factor).round() as usize
    }
}

/// Rotary positions. Nothing to train.
#[derive(Module, Debug)]
pub struct RotaryEmbedding {
    #[module(skip)]
    config: RotaryEmbeddingConfig,
}

impl Variant for RotaryEmbedding {
    type Config = RotaryEmbeddingConfig;
    const CARD: Card =
        Card { incompatible_with: "an odd number of turned dimensions", ..Card::new("rotary", "2104.09864") };

    fn check(config: &RotaryEmbeddingConfig, _around: &BuildContext, path: &str) -> Result<(), ValidationError> {
        super::check_theta(config.theta, path)?;
        if !(config.partial_factor > 0.0 && config.partial_factor <= 1.0) {
            let reason = format!("a share of a head above 0 and up to 1, found {}", config.partial_factor);
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

    fn init(config: &RotaryEmbeddingConfig, _around: &BuildContext, _init: &mut Initializer) -> Self {
        Self { config: config.clone() }
    }
}

impl PositionEncoding for RotaryEmbedding {
    fn rotate(&self, x: Tensor<4>, cx: &mut Context) -> Tensor<4> {
        let pairs = self.config.rotary_dim(x.dims()[3]) / 2;
        let (frequencies, factor) = self.config.scaling.scaled_frequencies(self.config.theta, pairs);
        let (cos, sin) = cx.stream.rotary_table(&frequencies, factor);
        apply_rotary(x, cos, sin, self.config.pairing())
    }
}
