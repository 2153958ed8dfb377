//! ALiBi: scores fall with the distance, −m_h · |i − j| with a slope for each head (2108.12409). Nothing to train.

use super::Positional;
use crate::{
    cx::Cx,
    init::Init,
    variant::{Around, Card, Variant},
};
use burn::{module::Module, tensor::Tensor};
use kiln_kernels::attention::{Bias, Distance};
use kiln_spec::{Refusal, formula::Field};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Options of [`Alibi`].
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct AlibiConfig {
    /// The slopes of H heads are 2^(−most · h / H), h = 1 … H.
    pub most: f64,
}

impl Default for AlibiConfig {
    fn default() -> Self {
        Self { most: 8.0 }
    }
}

/// A slope for each head.
#[derive(Module, Debug)]
pub struct Alibi {
    #[module(skip)]
    most: f64,
}

impl Variant for Alibi {
    type Config = AlibiConfig;
    const CARD: Card = Card { time: "T²", ..Card::new("alibi", "2108.12409") };

    fn check(config: &AlibiConfig, _around: &Around, path: &str) -> Result<(), Refusal> {
        if config.most.is_finite() && config.most >= 0.0 {
            return Ok(());
        }
        let reason = format!("slopes are 2^(−most · h / H): `most` must be 0 or more, found {}", config.most);
        Err(Refusal::new(format!("{path}.most"), reason).instead("most = 8.0"))
    }

    fn init(config: &AlibiConfig, _around: &Around, _init: &mut Init) -> Self {
        Self { most: config.most }
    }
}

impl Positional for Alibi {
    fn bias(&self, heads: usize, cx: &Cx) -> Option<Bias> {
        let slopes = slopes(self.most, heads);
        let device = cx.stream.now.field(Field::Position).device();
        let table = Tensor::<1>::from_floats(slopes.as_slice(), &device).reshape([1, heads]);
        Some(Bias { table, by: Distance::Slope })
    }
}

/// The slopes of `heads` heads: a geometric series where their number is a power of two; else that of the power below,
/// and of what is missing every other one of the power above (the authors' code; the paper names powers of two only).
pub fn slopes(most: f64, heads: usize) -> Vec<f32> {
    let series = |heads: usize| (1..=heads).map(move |h| (-most * h as f64 / heads as f64).exp2() as f32);
    let below = if heads.is_power_of_two() { heads } else { heads.next_power_of_two() / 2 };
    series(below).chain(series(2 * below).step_by(2)).take(heads).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slopes_are_those_of_the_paper() {
        assert_eq!(slopes(8.0, 8), [0.5, 0.25, 0.125, 0.0625, 0.03125, 0.015625, 0.0078125, 0.00390625]);
        // Figures of the authors' repository for 12 heads, to their digits.
        let twelve = slopes(8.0, 12);
        assert_eq!(twelve[..8], slopes(8.0, 8));
        let rest = [0.707_106_77, 0.353_553_38, 0.176_776_69, 0.088_388_346];
        assert!(twelve[8..].iter().zip(rest).all(|(a, b): (&f32, f32)| (a - b).abs() < 1e-7));
        assert_eq!(slopes(0.0, 3), [1.0; 3]);
    }
}
