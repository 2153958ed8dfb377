//! Rotary positions: pairs of a head's dimensions are turned by position · θ^(−2i/d) (2104.09864, eq. 34). The pairs
//! are (i, i + d/2), the half-split order of NeoX and Llama.

use super::Positional;
use crate::{
    cx::Cx,
    init::Init,
    variant::{Around, Card, Variant},
};
use burn::{module::Module, tensor::Tensor};
use kiln_kernels::rotary::rotate_half;
use kiln_spec::Refusal;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Options of [`Rotary`].
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct RotaryConfig {
    /// Base θ of the frequencies.
    pub theta: f64,
}

impl Default for RotaryConfig {
    fn default() -> Self {
        Self { theta: 10_000.0 }
    }
}

/// Rotary positions. Nothing to train.
#[derive(Module, Debug)]
pub struct Rotary {
    #[module(skip)]
    theta: f64,
}

impl Variant for Rotary {
    type Config = RotaryConfig;
    const CARD: Card = Card { refuses: "heads of odd width", ..Card::new("rotary", "2104.09864") };

    fn check(config: &RotaryConfig, _around: &Around, path: &str) -> Result<(), Refusal> {
        if config.theta > 1.0 && config.theta.is_finite() {
            return Ok(());
        }
        let reason = format!("θ must be above 1, found {}", config.theta);
        Err(Refusal::new(format!("{path}.theta"), reason).instead("theta = 10000.0"))
    }

    fn init(config: &RotaryConfig, _around: &Around, _init: &mut Init) -> Self {
        Self { theta: config.theta }
    }
}

impl Positional for Rotary {
    fn rotate(&self, x: Tensor<4>, cx: &mut Cx) -> Tensor<4> {
        let half = x.dims()[3] / 2;
        let (cos, sin) = cx.stream.turns(&frequencies(self.theta, half), 1.0);
        rotate_half(x, cos, sin)
    }
}

/// θ^(−i/pairs), i = 0 … pairs−1, in turns of a radian a token.
pub fn frequencies(theta: f64, pairs: usize) -> Vec<f32> {
    (0..pairs).map(|i| theta.powf(-(i as f64) / pairs as f64) as f32).collect()
}
