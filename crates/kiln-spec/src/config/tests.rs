//! Tests of `config` with a nested sample that resembles a recipe.
use schemars::{JsonSchema, Schema, schema_for};
use serde::{Deserialize, Serialize};

use super::*;

mod changing;
mod explaining;
mod reading;
mod round_trip;

crate::choice! {
    /// How the learning rate moves.
    pub enum Schedule {
        /// Down along half a cosine.
        "cosine" => Cosine(Cosine),
        /// Down along a line.
        "linear" | "line" => Linear(Linear),
        "constant" => Constant(NoOptions),
    }
}

crate::choice! {
    /// A part of a block.
    pub enum Part {
        "attention" => Attention(Attention),
        "gated" | "glu" => Gated(NoOptions),
        /// One after the other.
        "both" => Both(Vec<Part>),
    }
}

/// Half a cosine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Cosine {
    /// Where it ends,
    /// as a share of the peak.
    #[schemars(range(min = 0.0, max = 1.0))]
    floor: f64,
    warmup: u32,
}

impl Default for Cosine {
    fn default() -> Self {
        Self { floor: 0.1, warmup: 10 }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Linear {
    /// Where it ends.
    floor: f64,
    #[serde(default)]
    warmup: u32,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Attention {
    heads: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    window: Option<u32>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Block {
    #[serde(default = "one")]
    repeat: u32,
    parts: Vec<Part>,
}

fn one() -> u32 {
    1
}

/// A sample.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sample {
    name: String,
    /// The learning rate's course.
    #[serde(default = "cosine")]
    schedule: Schedule,
    #[serde(default)]
    blocks: Vec<Block>,
    #[serde(default)]
    notes: std::collections::BTreeMap<String, bool>,
}

fn cosine() -> Schedule {
    Schedule::Cosine(Cosine { floor: 0.5, warmup: 7 })
}

fn schema() -> Schema {
    schema_for!(Sample)
}

fn sample(text: &str) -> Result<Sample, ConfigError> {
    parse(text, Some("sample.toml"))
}

fn table(text: &str) -> toml::Table {
    text.parse().unwrap()
}
