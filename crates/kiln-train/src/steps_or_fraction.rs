//! A length or an interval of a stage: a number of steps, or a fraction of the stage.
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserializer, Error, Unexpected, Visitor};
use serde::{Deserialize, Serialize};

/// A length or an interval of a stage. In a recipe a whole number is a number of steps, and a number with a decimal point
/// is a fraction of the stage: `1` is one step, `1.0` is the whole stage.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum StepsOrFraction {
    /// A number of steps, independent of the length of the stage.
    Steps(u64),
    /// A fraction of the stage, from 0 to 1.
    Fraction(f64),
}

impl StepsOrFraction {
    /// The number of steps in a stage of `steps` steps; a fraction is rounded to the nearest step.
    pub fn to_steps(self, steps: u64) -> u64 {
        match self {
            Self::Steps(count) => count,
            Self::Fraction(fraction) => (fraction * steps as f64).round() as u64,
        }
    }

    /// Whether this is 0, as a number of steps or as a fraction.
    pub fn is_zero(self) -> bool {
        match self {
            Self::Steps(count) => count == 0,
            Self::Fraction(fraction) => fraction == 0.0,
        }
    }

    /// The number of intervals of this length that are complete after `done` of `steps` steps; 0 for an interval of 0.
    ///
    /// For a fraction 1/n it is ⌊done · n / steps⌋ in integers: interval k ends at ⌈k · steps / n⌉. The product
    /// `k * fraction * steps` in floating point would be off by one step for some lengths, such as 0.2 of 100 steps.
    pub fn intervals_completed(self, done: u64, steps: u64) -> u64 {
        match self {
            _ if self.is_zero() => 0,
            Self::Steps(interval) => done / interval,
            Self::Fraction(fraction) => match whole_reciprocal(fraction) {
                Some(count) => done * count.min(steps) / steps,
                None => ((done as f64 / steps as f64) / fraction.max(1.0 / steps as f64) + 1e-9).floor() as u64,
            },
        }
    }
}

/// n if `fraction` is 1/n.
pub(crate) fn whole_reciprocal(fraction: f64) -> Option<u64> {
    let count = fraction.recip().round();
    ((fraction.recip() - count).abs() <= 1e-9 * count).then_some(count as u64)
}

impl<'de> Deserialize<'de> for StepsOrFraction {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StepsOrFractionVisitor)
    }
}

struct StepsOrFractionVisitor;

impl Visitor<'_> for StepsOrFractionVisitor {
    type Value = StepsOrFraction;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a whole number of steps from 0, or a fraction of the stage from 0.0 to 1.0")
    }

    fn visit_u64<E: Error>(self, steps: u64) -> Result<StepsOrFraction, E> {
        Ok(StepsOrFraction::Steps(steps))
    }

    fn visit_i64<E: Error>(self, steps: i64) -> Result<StepsOrFraction, E> {
        u64::try_from(steps).map(StepsOrFraction::Steps).map_err(|_| E::invalid_value(Unexpected::Signed(steps), &self))
    }

    fn visit_f64<E: Error>(self, fraction: f64) -> Result<StepsOrFraction, E> {
        match (0.0..=1.0).contains(&fraction) {
            true => Ok(StepsOrFraction::Fraction(fraction)),
            false => Err(E::invalid_value(Unexpected::Float(fraction), &self)),
        }
    }
}

impl JsonSchema for StepsOrFraction {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "StepsOrFraction".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [{ "type": "integer", "minimum": 0 }, { "type": "number", "minimum": 0, "maximum": 1 }] })
    }
}
