//! Blocks and their sublayers.

use super::Visibility;
use crate::direction::unfit;
use kiln_nn::{
    depth::DepthConfig,
    junction::JunctionConfig,
    part::PartConfig,
    variant::{Around, Causality},
};
use kiln_spec::Refusal;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Parts under one junction.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Default)]
#[serde(deny_unknown_fields)]
pub struct SublayerConfig {
    /// What joins it to the residual stream.
    #[serde(default)]
    pub junction: JunctionConfig,
    /// What works on the same input and is added up: one part, or several in a parallel block.
    pub parts: Vec<PartConfig>,
}

/// A block: sublayers one after the other, under a depth rule.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Default)]
#[serde(deny_unknown_fields)]
pub struct BlockConfig {
    /// How often the block is repeated, each time with its own weights.
    #[serde(default = "once")]
    pub repeat: usize,
    /// For which tokens it runs.
    #[serde(default)]
    pub depth: DepthConfig,
    /// The sublayers.
    pub sublayers: Vec<SublayerConfig>,
}

fn once() -> usize {
    1
}

impl BlockConfig {
    pub(super) fn check(&self, around: &Around, visibility: Visibility, path: &str) -> Result<(), Refusal> {
        if self.repeat == 0 {
            return Err(
                Refusal::new(format!("{path}.repeat"), "a block repeated 0 times").instead("take the block out")
            );
        }
        if self.sublayers.is_empty() {
            return Err(Refusal::new(format!("{path}.sublayers"), "a block without sublayers"));
        }
        self.depth.check(around, &format!("{path}.depth"))?;
        for (s, sublayer) in self.sublayers.iter().enumerate() {
            let path = format!("{path}.sublayers[{s}]");
            sublayer.junction.check(around, &format!("{path}.junction"))?;
            if sublayer.parts.is_empty() {
                return Err(Refusal::new(format!("{path}.parts"), "a sublayer without parts"));
            }
            for (p, part) in sublayer.parts.iter().enumerate() {
                let path = format!("{path}.parts[{p}]");
                part.check(around, &path)?;
                check_direction(part, visibility, &path)?;
            }
        }
        Ok(())
    }
}

fn check_direction(part: &PartConfig, visibility: Visibility, path: &str) -> Result<(), Refusal> {
    let Some(reason) = unfit(part.card(), visibility.direction(0)) else { return Ok(()) };
    let instead = match part.card().causality {
        Causality::BidirectionalOnly => Visibility::Bidirectional,
        _ => Visibility::Causal,
    };
    let reason = format!("`{}` {reason}; the model's visibility is not {}", part.name(), instead.name());
    Err(Refusal::new(path, reason).instead(format!("visibility = \"{}\"", instead.name())))
}
