//! A part of a run, in steps or as a share that shrinks with it.
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserializer, Error, Unexpected, Visitor};
use serde::{Deserialize, Serialize};

/// A part of a run: a whole number in a file is that many steps, a number with a point a share of the run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum StepsOrFraction {
    /// So many steps, however long the run is.
    Steps(u64),
    /// This share of the run, from 0 to 1.
    Share(f64),
}

impl StepsOrFraction {
    /// The number of steps in a run of `steps` steps, rounded to the nearest.
    pub fn to_steps(self, steps: u64) -> u64 {
        match self {
            Self::Steps(count) => count,
            Self::Share(share) => (share * steps as f64).round() as u64,
        }
    }
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
        f.write_str("a whole number of steps from 0, or a share of the run from 0.0 to 1.0")
    }

    fn visit_u64<E: Error>(self, steps: u64) -> Result<StepsOrFraction, E> {
        Ok(StepsOrFraction::Steps(steps))
    }

    fn visit_i64<E: Error>(self, steps: i64) -> Result<StepsOrFraction, E> {
        u64::try_from(steps).map(StepsOrFraction::Steps).map_err(|_| E::invalid_value(Unexpected::Signed(steps), &self))
    }

    fn visit_f64<E: Error>(self, share: f64) -> Result<StepsOrFraction, E> {
        let legal = (0.0..=1.0).contains(&share);
        if legal { Ok(StepsOrFraction::Share(share)) } else { Err(E::invalid_value(Unexpected::Float(share), &self)) }
    }
}

impl JsonSchema for StepsOrFraction {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Length".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [{ "type": "integer", "minimum": 0 }, { "type": "number", "minimum": 0, "maximum": 1 }] })
    }
}
