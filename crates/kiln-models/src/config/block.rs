//! Configuration of blocks and sublayers. A model repeats a block with its own weights for each copy.

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
    /// Checks the block's depth rule, junctions and parts, in this order, and each part against the model's visibility.
    pub(super) fn check(
        &self,
        context: &BuildContext,
        visibility: Visibility,
        path: &str,
    ) -> Result<(), ValidationError> {
        if self.repeat == 0 {
            return Err(ValidationError::new(
                format!("{path}.repeat"),
                "expected at least 1 copy of the block, found 0",
            )
            .with_suggestion("remove the block"));
        }
        if self.sublayers.is_empty() {
            let reason = "expected at least one sublayer, found none";
            return Err(ValidationError::new(format!("{path}.sublayers"), reason));
        }
        self.depth.check(context, &format!("{path}.depth"))?;
        for (i, sublayer) in self.sublayers.iter().enumerate() {
            sublayer.check(context, visibility, &format!("{path}.sublayers[{i}]"))?;
        }
        Ok(())
    }
}

impl SublayerConfig {
    fn check(&self, context: &BuildContext, visibility: Visibility, path: &str) -> Result<(), ValidationError> {
        self.junction.check(context, &format!("{path}.junction"))?;
        if self.parts.is_empty() {
            let reason = "expected at least one part, found none";
            return Err(ValidationError::new(format!("{path}.parts"), reason));
        }
        for (i, part) in self.parts.iter().enumerate() {
            let path = format!("{path}.parts[{i}]");
            part.check(context, &path)?;
            check_direction(part, visibility, &path)?;
        }
        Ok(())
    }
}

/// Checks that a part supports the direction of the model's visibility.
fn check_direction(part: &PartConfig, visibility: Visibility, path: &str) -> Result<(), ValidationError> {
    let Some(reason) = incompatibility(part.card(), visibility.direction(0)) else { return Ok(()) };
    let suggestion = match part.card().causality {
        Causality::BidirectionalOnly => Visibility::Bidirectional,
        _ => Visibility::Causal,
    };
    let reason = format!("`{}` {reason}; the model's visibility is `{}`", part.name(), visibility.name());
    Err(ValidationError::new(path, reason).with_suggestion(format!("visibility = \"{}\"", suggestion.name())))
}
