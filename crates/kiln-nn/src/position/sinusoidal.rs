//! Sinusoidal positions: x + table\[position\], a sine and a cosine of position · 10000^(−2i/M) for each pair of channels
//! (1706.03762, section 3.5). Nothing to train.

use super::Positional;
use crate::{
    cx::Cx,
    init::Init,
    variant::{Around, Card, Variant},
};
use burn::{module::Module, tensor::Tensor};
use kiln_kernels::rotary::Pairs;
use kiln_spec::{Refusal, formula::Field};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Options of [`Sinusoidal`].
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct SinusoidalConfig {
    /// Base of the frequencies.
    pub theta: f64,
    /// Which channels hold the sine and the cosine of a frequency: neighbours, as in the paper, or (i, i + M/2).
    pub pairs: Pairs,
}

impl Default for SinusoidalConfig {
    fn default() -> Self {
        Self { theta: 10_000.0, pairs: Pairs::Interleaved }
    }
}

/// Sines and cosines of the position.
#[derive(Module, Debug)]
pub struct Sinusoidal {
    #[module(skip)]
    config: SinusoidalConfig,
}

impl Variant for Sinusoidal {
    type Config = SinusoidalConfig;
    const CARD: Card = Card { refuses: "an odd hidden", ..Card::new("sinusoidal", "1706.03762") };

    fn check(config: &SinusoidalConfig, around: &Around, path: &str) -> Result<(), Refusal> {
        super::check_theta(config.theta, path)?;
        if around.hidden.is_multiple_of(2) {
            return Ok(());
        }
        let reason = format!("sines and cosines come in pairs: hidden must be even, found {}", around.hidden);
        Err(Refusal::new(path, reason).instead(format!("hidden = {}", around.hidden + 1)))
    }

    fn init(config: &SinusoidalConfig, _around: &Around, _init: &mut Init) -> Self {
        Self { config: config.clone() }
    }
}

impl Positional for Sinusoidal {
    fn embed(&self, x: Tensor<3>, cx: &mut Cx) -> Tensor<3> {
        let ([_, _, m], dtype) = (x.dims(), x.dtype());
        let positions = cx.stream.now.field(Field::Position);
        let [b, t] = positions.dims();
        let rates = super::frequencies(self.config.theta, m / 2);
        let rates = Tensor::<1>::from_floats(rates.as_slice(), &positions.device()).reshape([1, 1, m / 2]);
        let angles = positions.clone().float().reshape([b, t, 1]) * rates;
        let (sin, cos) = (angles.clone().sin(), angles.cos());
        let table = match self.config.pairs {
            Pairs::Half => Tensor::cat(vec![sin, cos], 2),
            Pairs::Interleaved => {
                Tensor::cat(vec![sin.unsqueeze_dim::<4>(3), cos.unsqueeze_dim::<4>(3)], 3).reshape([b, t, m])
            }
        };
        x + table.cast(dtype)
    }
}
