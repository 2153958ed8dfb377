//! xPos: rotary positions whose query–key products decay with the distance (2212.10554, section 3, algorithm 1).
//!
//! Pair i of P is rotated as by RoPE; a query at position m is multiplied by ζ_i^(m / s), a key at position n by ζ_i^(−n /
//! s), with ζ_i = (i / P + γ) / (1 + γ), the scale base s = 512 and γ = 0.4. The product depends on m − n alone and decays as
//! ζ^((m − n) / s), the faster pairs faster. As s grows, ζ^(m / s) goes to 1 and xPos to RoPE.
//!
//! For keys after the query the factor would grow without limit, so xPos works from left to right only. A query shrinks and a
//! key grows with its position: both must stay within 32-bit floats, which limits the number of positions to 80 s / −ln ζ_0
//! (32,695 by default). No parameters.

use super::{PositionEncoding, PositionNeeds, RotaryScaling, Side};
use crate::{
    context::Context,
    init::Initializer,
    variant::{BuildContext, Card, Causality, Variant},
};
use burn::{module::Module, tensor::Tensor};
use kiln_kernels::rotary::{RotaryPairing, apply_rotary};
use kiln_spec::ValidationError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Options of [`XPos`].
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct XPosConfig {
    /// Base θ of the frequencies.
    pub theta: f64,
    /// Rotate neighboring dimensions (2i, 2i + 1), as in the authors' code. false: rotate (i, i + d/2).
    pub interleaved: bool,
    /// Distance s over which the products of pair i decay by the factor ζ_i.
    pub scale_base: f64,
    /// γ of ζ_i = (i / P + γ) / (1 + γ): the larger, the slower the decay of the fast pairs.
    pub gamma: f64,
}

impl Default for XPosConfig {
    fn default() -> Self {
        Self { theta: 10_000.0, interleaved: false, scale_base: 512.0, gamma: 0.4 }
    }
}

/// Largest exponent of e in a factor of a query or key: e^80 is 5.5 · 10³⁴, the largest 32-bit float 3.4 · 10³⁸.
const MAX_EXPONENT: f64 = 80.0;

impl XPosConfig {
    /// Returns ln ζ_i / s of each pair, at most 0: a query at position m is multiplied by e^(m · ln ζ_i / s).
    pub fn decay_rates(&self, pairs: usize) -> Vec<f64> {
        let zeta = |i: usize| (i as f64 / pairs as f64 + self.gamma) / (1.0 + self.gamma);
        (0..pairs).map(|i| zeta(i).ln() / self.scale_base).collect()
    }
}

impl PositionNeeds for XPosConfig {
    fn max_positions(&self) -> Option<usize> {
        Some((MAX_EXPONENT / -self.decay_rates(1)[0]).min(f64::from(i32::MAX)) as usize)
    }

    fn check_heads(&self, _heads: usize, width: usize) -> Result<(), String> {
        super::check_pairs(width, width)
    }
}

/// xPos position encoding.
#[derive(Module, Debug)]
pub struct XPos {
    #[module(skip)]
    config: XPosConfig,
}

impl Variant for XPos {
    type Config = XPosConfig;
    const CARD: Card = Card {
        causality: Causality::CausalOnly,
        incompatible_with: "an odd head width, positions beyond the range of 32-bit floats",
        ..Card::new("xpos", "2212.10554")
    };

    fn check(config: &XPosConfig, _build: &BuildContext, path: &str) -> Result<(), ValidationError> {
        super::check_theta(config.theta, path)?;
        for (key, value, default) in [("scale_base", config.scale_base, 512.0), ("gamma", config.gamma, 0.4)] {
            if !(value > 0.0 && value.is_finite()) {
                let reason = format!("expected a finite number above 0, found {value}");
                return Err(ValidationError::new(format!("{path}.{key}"), reason)
                    .with_suggestion(format!("{key} = {default:?}")));
            }
        }
        if config.max_positions() == Some(0) {
            let reason = format!(
                "the factors of the first position already leave the range of 32-bit floats, found {}",
                config.scale_base
            );
            return Err(
                ValidationError::new(format!("{path}.scale_base"), reason).with_suggestion("scale_base = 512.0")
            );
        }
        Ok(())
    }

    fn init(config: &XPosConfig, _build: &BuildContext, _init: &mut Initializer) -> Self {
        Self { config: config.clone() }
    }
}

impl PositionEncoding for XPos {
    fn transform(&self, side: Side, x: Tensor<4>, cx: &mut Context) -> Tensor<4> {
        let pairs = x.dims()[3] / 2;
        let (frequencies, _) = RotaryScaling::default().scaled_frequencies(self.config.theta, pairs, 0);
        let sign = if side == Side::Query { 1.0 } else { -1.0 };
        let rates: Vec<f32> = self.config.decay_rates(pairs).into_iter().map(|rate| (sign * rate) as f32).collect();
        let (cos, sin) = cx.stream.decaying_rotary_table(&frequencies, &rates);
        let pairing = if self.config.interleaved { RotaryPairing::Interleaved } else { RotaryPairing::Half };
        apply_rotary(x, cos, sin, pairing)
    }
}
