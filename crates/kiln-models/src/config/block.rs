//! Configuration of blocks and sublayers.
//!
//! A pre-norm Transformer block has two sublayers of one part each: attention, then a feed-forward part. A parallel block
//! has one sublayer with both parts; an encoder-decoder's block has a third sublayer of cross-attention.

use super::Visibility;
use crate::direction::incompatibility;
use kiln_nn::{
    depth::DepthConfig,
    junction::{JunctionConfig, NormPlacementConfig},
    norm::NormConfig,
    part::PartConfig,
    variant::{BuildContext, Causality},
};
use kiln_spec::ValidationError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Sublayer: one or more modules (parts) that share a residual connection and a norm.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Default)]
#[serde(deny_unknown_fields)]
pub struct SublayerConfig {
    /// Residual connection and norm placement.
    #[serde(default)]
    pub junction: JunctionConfig,
    /// Parts that read the same input; their outputs are added. One part, or several for a parallel block.
    pub parts: Vec<PartConfig>,
    /// Norm of each part's input, with weights of its own for each part: x + Σ fᵢ(normᵢ(x)) (GPT-NeoX, Falcon 40B). The
    /// junction then has no norm. Absent: the parts share the norm of the junction.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part_norm: Option<NormConfig>,
}

/// Transformer block: sublayers applied in order, each with its own residual connection.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Default)]
#[serde(deny_unknown_fields)]
pub struct BlockConfig {
    /// Number of copies of the block, each with its own weights.
    #[serde(default = "default_repeat")]
    pub repeat: usize,
    /// Whether the block is skipped for some tokens or steps (LayerDrop, mixture of depths).
    #[serde(default)]
    pub depth: DepthConfig,
    /// Sublayers, applied in order.
    pub sublayers: Vec<SublayerConfig>,
}

/// Default of `repeat`: one copy.
fn default_repeat() -> usize {
    1
}

impl BlockConfig {
    /// `repeat` copies of a block that runs for every token.
    pub fn repeated(repeat: usize, sublayers: Vec<SublayerConfig>) -> Self {
        Self { repeat, depth: DepthConfig::default(), sublayers }
    }

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
    /// A part with the norm before it: x + f(norm(x)).
    pub fn pre_norm(norm: &NormConfig, part: PartConfig) -> Self {
        Self::new(JunctionConfig::Pre(NormPlacementConfig::new(norm.clone())), vec![part])
    }

    /// A part with the norm after the residual connection: norm(x + f(x)).
    pub fn post_norm(norm: &NormConfig, part: PartConfig) -> Self {
        Self::new(JunctionConfig::Post(NormPlacementConfig::new(norm.clone())), vec![part])
    }

    /// Parallel parts with a norm each before them: x + Σ fᵢ(normᵢ(x)).
    pub fn parallel(norm: &NormConfig, parts: Vec<PartConfig>) -> Self {
        let none = NormConfig::None(Default::default());
        let junction = JunctionConfig::Pre(NormPlacementConfig::new(none));
        Self { part_norm: Some(norm.clone()), ..Self::new(junction, parts) }
    }

    /// Parts under a junction, which share its norm.
    pub fn new(junction: JunctionConfig, parts: Vec<PartConfig>) -> Self {
        Self { junction, parts, part_norm: None }
    }

    /// Checks the junction, then each part by itself and against the model's visibility.
    fn check(&self, context: &BuildContext, visibility: Visibility, path: &str) -> Result<(), ValidationError> {
        self.junction.check(context, &format!("{path}.junction"))?;
        self.check_part_norm(context, path)?;
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

impl SublayerConfig {
    /// Checks the norm of the parts. Parameters of the first part's norm and of the junction's would have the same names, so
    /// only one of them is allowed.
    fn check_part_norm(&self, context: &BuildContext, path: &str) -> Result<(), ValidationError> {
        let Some(norm) = &self.part_norm else { return Ok(()) };
        if self.junction.norm().is_some_and(|norm| !matches!(norm, NormConfig::None(_))) {
            let reason = "each part has a norm of its own, and the junction has one too";
            return Err(ValidationError::new(format!("{path}.part_norm"), reason)
                .with_suggestion("junction = { pre = { norm = \"none\" } }"));
        }
        norm.check(context, &format!("{path}.part_norm"))
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
