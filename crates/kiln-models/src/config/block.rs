//! Blocks and their sublayers.

use super::Visibility;
use crate::direction::incompatibility;
use kiln_nn::{
    depth::DepthConfig,
    junction::JunctionConfig,
    part::PartConfig,
    variant::{BuildContext, Causality},
};
use kiln_spec::ValidationError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Parts under one junction.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Default)]
#[serde(deny_unknown_fields)]
pub struct SublayerConfig {
    /// Residual connection and norm placement.
    #[serde(default)]
    pub junction: JunctionConfig,
    /// Parts that read the same input; their outputs are added. One part, or several for a parallel block.
    pub parts: Vec<PartConfig>,
}

/// A block: sublayers one after the other, under a depth rule.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Default)]
#[serde(deny_unknown_fields)]
pub struct BlockConfig {
    /// Number of copies of the block, each with its own weights.
    #[serde(default = "default_repeat")]
    pub repeat: usize,
    /// Depth rule: which tokens the block runs for.
    #[serde(default)]
    pub depth: DepthConfig,
    /// Sublayers, run in order.
    pub sublayers: Vec<SublayerConfig>,
}

fn default_repeat() -> usize {
    1
}

impl BlockConfig {
    pub(super) fn check(
        &self,
        around: &BuildContext,
        visibility: Visibility,
        path: &str,
    ) -> Result<(), ValidationError> {
        if self.repeat == 0 {
            return Err(ValidationError::new(format!("{path}.repeat"), "a block repeated 0 times")
                .with_suggestion("take the block out"));
        }
        if self.sublayers.is_empty() {
            return Err(ValidationError::new(format!("{path}.sublayers"), "a block without sublayers"));
        }
        self.depth.check(around, &format!("{path}.depth"))?;
        for (s, sublayer) in self.sublayers.iter().enumerate() {
            let path = format!("{path}.sublayers[{s}]");
            sublayer.junction.check(around, &format!("{path}.junction"))?;
            if sublayer.parts.is_empty() {
                return Err(ValidationError::new(format!("{path}.parts"), "a sublayer without parts"));
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

fn check_direction(part: &PartConfig, visibility: Visibility, path: &str) -> Result<(), ValidationError> {
    let Some(reason) = incompatibility(part.card(), visibility.direction(0)) else { return Ok(()) };
    let instead = match part.card().causality {
        Causality::BidirectionalOnly => Visibility::Bidirectional,
        _ => Visibility::Causal,
    };
    let reason = format!("`{}` {reason}; the model's visibility is not {}", part.name(), instead.name());
    Err(ValidationError::new(path, reason).with_suggestion(format!("visibility = \"{}\"", instead.name())))
}
