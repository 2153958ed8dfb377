//! Sinusoidal position embeddings: x + (sin, cos) of position · θ^(−2i/M) for each pair of channels (1706.03762, section 3.5).
//!
//! No parameters; θ = 10000 by default. The values are computed for the call's positions, so the length is not limited.

use super::{PositionEncoding, PositionNeeds};
use crate::{
    context::Context,
    init::Initializer,
    variant::{BuildContext, Card, Variant},
};
use burn::{module::Module, tensor::Tensor};
use kiln_spec::{ValidationError, formula::MarkField};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Options of [`SinusoidalPosition`].
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct SinusoidalPositionConfig {
    /// Base θ of the frequencies.
    pub theta: f64,
    /// Interleave sines and cosines, as in the paper. false: all sines, then all cosines.
    pub interleaved: bool,
}

impl Default for SinusoidalPositionConfig {
    fn default() -> Self {
        Self { theta: 10_000.0, interleaved: true }
    }
}

impl PositionNeeds for SinusoidalPositionConfig {
    fn is_added_to_embedding(&self) -> bool {
        true
    }
}

/// Sinusoidal position embedding.
#[derive(Module, Debug)]
pub struct SinusoidalPosition {
    #[module(skip)]
    config: SinusoidalPositionConfig,
}

impl Variant for SinusoidalPosition {
    type Config = SinusoidalPositionConfig;
    const CARD: Card = Card { incompatible_with: "an odd hidden", ..Card::new("sinusoidal", "1706.03762") };

    fn check(config: &SinusoidalPositionConfig, build: &BuildContext, path: &str) -> Result<(), ValidationError> {
        super::check_theta(config.theta, path)?;
        if build.hidden.is_multiple_of(2) {
            return Ok(());
        }
        let reason = format!("sines and cosines form pairs, so hidden must be even, found {}", build.hidden);
        Err(ValidationError::new(path, reason).with_suggestion(format!("hidden = {}", build.hidden + 1)))
    }

    fn init(config: &SinusoidalPositionConfig, _build: &BuildContext, _init: &mut Initializer) -> Self {
        Self { config: config.clone() }
    }
}

impl PositionEncoding for SinusoidalPosition {
    fn embed(&self, x: Tensor<3>, cx: &mut Context) -> Tensor<3> {
        let ([_, _, m], dtype) = (x.dims(), x.dtype());
        let positions = cx.stream.tokens.field(MarkField::Position);
        let [b, t] = positions.dims();
        let frequencies = super::inverse_frequencies(self.config.theta, m / 2);
        let frequencies = Tensor::<1>::from_floats(frequencies.as_slice(), &positions.device()).reshape([1, 1, m / 2]);
        let angles = positions.clone().float().reshape([b, t, 1]) * frequencies;
        let (sin, cos) = (angles.clone().sin(), angles.cos());
        let table = if self.config.interleaved {
            Tensor::cat(vec![sin.unsqueeze_dim::<4>(3), cos.unsqueeze_dim::<4>(3)], 3).reshape([b, t, m])
        } else {
            Tensor::cat(vec![sin, cos], 2)
        };
        x + table.cast(dtype)
    }
}
