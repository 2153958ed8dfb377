//! Attention with linear biases (ALiBi): score + (−m_h · |i − j|) with a slope m_h for each head (2108.12409, section 3).
//!
//! No parameters. Slopes are a geometric series, m_h = 2^(−8 h / H) by default, so some heads attend to distant
//! keys and others to near ones. Works for longer sequences than in training, since the bias depends on the distance alone.

use super::{PositionEncoding, PositionNeeds};
use crate::{
    context::Context,
    init::Initializer,
    variant::{BuildContext, Card, KernelForm, Variant, is_default},
};
use burn::{module::Module, tensor::Tensor};
use kiln_kernels::attention::{DistanceBias, ScoreBias, Slopes};
use kiln_spec::{ValidationError, formula::MarkField};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Options of [`Alibi`].
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct AlibiConfig {
    /// Maximum bias exponent m: the slope of head h of H is 2^(−m · h / H), h = 1 … H.
    pub alibi_bias_max: f64,
    /// Multiply the bias by the factor of the query-key products, 1/√(head width), too (Falcon). false: the bias is added
    /// after the products are scaled, as in the paper, BLOOM and MPT.
    #[serde(skip_serializing_if = "is_default")]
    pub scaled: bool,
}

impl Default for AlibiConfig {
    fn default() -> Self {
        Self { alibi_bias_max: 8.0, scaled: false }
    }
}

impl PositionNeeds for AlibiConfig {}

/// ALiBi position bias.
#[derive(Module, Debug)]
pub struct Alibi {
    /// Exponent of the last head's slope.
    #[module(skip)]
    max_exponent: f64,
    /// Whether the bias is multiplied by the factor of the query-key products.
    #[module(skip)]
    scaled: bool,
}

impl Variant for Alibi {
    type Config = AlibiConfig;
    const CARD: Card = Card { time: "T²", kernel: Some(KernelForm::InTile), ..Card::new("alibi", "2108.12409") };

    fn check(config: &AlibiConfig, _build: &BuildContext, path: &str) -> Result<(), ValidationError> {
        if config.alibi_bias_max.is_finite() && config.alibi_bias_max >= 0.0 {
            return Ok(());
        }
        let reason = format!("expected a finite number of at least 0, found {}", config.alibi_bias_max);
        Err(ValidationError::new(format!("{path}.alibi_bias_max"), reason).with_suggestion("alibi_bias_max = 8.0"))
    }

    fn init(config: &AlibiConfig, _build: &BuildContext, _init: &mut Initializer) -> Self {
        Self { max_exponent: config.alibi_bias_max, scaled: config.scaled }
    }
}

impl PositionEncoding for Alibi {
    fn bias(&self, heads: usize, scale: f64, cx: &Context) -> Option<Arc<dyn ScoreBias>> {
        let factor = if self.scaled { scale as f32 } else { 1.0 };
        let slopes: Vec<f32> = alibi_slopes(self.max_exponent, heads).into_iter().map(|slope| slope * factor).collect();
        let device = cx.stream.tokens.field(MarkField::Position).device();
        let table = Tensor::<1>::from_floats(slopes.as_slice(), &device).reshape([1, heads]);
        Some(Arc::new(DistanceBias { table, function: Slopes }))
    }
}

/// Returns the slopes 2^(−m h / H) of H heads, h = 1 … H, m = `max_exponent`.
///
/// If H isn't a power of two: the slopes of the next lower power, then every other slope of twice that number, as in the
/// authors' code. The paper covers powers of two only.
///
/// ```
/// use kiln_nn::position::alibi::alibi_slopes;
///
/// assert_eq!(alibi_slopes(8.0, 4), [0.25, 0.0625, 0.015625, 0.00390625]);
/// ```
pub fn alibi_slopes(max_exponent: f64, heads: usize) -> Vec<f32> {
    let series = |heads: usize| (1..=heads).map(move |h| (-max_exponent * h as f64 / heads as f64).exp2() as f32);
    let below = if heads.is_power_of_two() { heads } else { heads.next_power_of_two() / 2 };
    series(below).chain(series(2 * below).step_by(2)).take(heads).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slopes_equal_those_of_the_paper() {
        assert_eq!(alibi_slopes(8.0, 8), [0.5, 0.25, 0.125, 0.0625, 0.03125, 0.015625, 0.0078125, 0.00390625]);
        // Values of the authors' code for 12 heads.
        let twelve = alibi_slopes(8.0, 12);
        assert_eq!(twelve[..8], alibi_slopes(8.0, 8));
        let rest = [0.707_106_77, 0.353_553_38, 0.176_776_69, 0.088_388_346];
        assert!(twelve[8..].iter().zip(rest).all(|(a, b): (&f32, f32)| (a - b).abs() < 1e-7));
        assert_eq!(alibi_slopes(0.0, 3), [1.0; 3]);
    }
}
