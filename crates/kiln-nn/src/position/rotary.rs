//! Rotary positions: pairs of a head's dimensions are turned by position · θ^(−i/pairs) (2104.09864, eq. 34).

use super::{Positional, scaling::Scaling};
use crate::{
    cx::Cx,
    init::Init,
    variant::{Around, Card, Variant},
};
use burn::{module::Module, tensor::Tensor};
use kiln_kernels::rotary::{Pairs, rotate};
use kiln_spec::Refusal;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Options of [`Rotary`].
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct RotaryConfig {
    /// Base θ of the frequencies.
    pub theta: f64,
    /// Which dimensions are turned together: (i, i + d/2), as NeoX and Llama do, or neighbours, as the paper.
    pub pairs: Pairs,
    /// Share of a head's dimensions that are turned, from the first on; the rest know no position.
    pub fraction: f64,
    /// How frequencies are changed for longer contexts.
    pub scaling: Scaling,
}

impl Default for RotaryConfig {
    fn default() -> Self {
        Self { theta: 10_000.0, pairs: Pairs::Half, fraction: 1.0, scaling: Scaling::default() }
    }
}

impl RotaryConfig {
    /// Dimensions of a head of `width` that are turned.
    pub fn turned(&self, width: usize) -> usize {
        (width as f64 * self.fraction).round() as usize
    }
}

/// Rotary positions. Nothing to train.
#[derive(Module, Debug)]
pub struct Rotary {
    #[module(skip)]
    config: RotaryConfig,
}

impl Variant for Rotary {
    type Config = RotaryConfig;
    const CARD: Card = Card { refuses: "an odd number of turned dimensions", ..Card::new("rotary", "2104.09864") };

    fn check(config: &RotaryConfig, _around: &Around, path: &str) -> Result<(), Refusal> {
        super::check_theta(config.theta, path)?;
        if !(config.fraction > 0.0 && config.fraction <= 1.0) {
            let reason = format!("a share of a head above 0 and up to 1, found {}", config.fraction);
            return Err(Refusal::new(format!("{path}.fraction"), reason).instead("fraction = 1.0"));
        }
        match config.scaling.wrong() {
            Some((key, reason)) => Err(Refusal::new(format!("{path}.scaling.{}.{key}", config.scaling.name()), reason)),
            None => Ok(()),
        }
    }

    fn init(config: &RotaryConfig, _around: &Around, _init: &mut Init) -> Self {
        Self { config: config.clone() }
    }
}

impl Positional for Rotary {
    fn rotate(&self, x: Tensor<4>, cx: &mut Cx) -> Tensor<4> {
        let pairs = self.config.turned(x.dims()[3]) / 2;
        let (frequencies, factor) = self.config.scaling.apply(self.config.theta, pairs);
        let (cos, sin) = cx.stream.turns(&frequencies, factor);
        rotate(x, cos, sin, self.config.pairs)
    }
}
