//! Input embedding: norm(scale · token + type + position), the input of the first block (1810.04805, figure 2).
//!
//! A factorized embedding (1909.11942, section 3.1) has a token table of a width W below M and a linear map from W to M. The
//! map is applied last (ALBERT, ELECTRA), or first, to the tokens alone (OPT-350m).
//!
//! Parameters: `types [type_vocab_size, W]` (optional, normal with standard deviation 0.02), those of the norm under `norm`,
//! and with a factorized embedding `project_in.weight [W, M]` and `project_in.bias [M]`. Types and norm have the width M if the
//! map is applied first. The token table is the model's. BERT uses types and a norm; Gemma a scale of √M; others neither.
//!
//! Shapes: `[B, T, W] → [B, T, M]`, W = M unless factorized.

use crate::{
    context::Context,
    init::Initializer,
    linear::Linear,
    norm::{Norm, NormConfig},
    position::Position,
    variant::{BuildContext, MAX_WIDTH},
};
use burn::{
    module::{Module, Param},
    tensor::{Tensor, module::embedding},
};
use kiln_spec::ValidationError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Options of [`InputEmbedding`].
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct InputEmbeddingConfig {
    /// Factor applied to token embeddings.
    pub scale: f64,
    /// Number of token types, each with a trained embedding (BERT segment embeddings). 0: none.
    pub type_vocab_size: usize,
    /// Norm applied to the sum of the embeddings.
    pub norm: NormConfig,
    /// Factorized embedding: a token table that is narrower than the hidden states, and a projection (1909.11942). Absent:
    /// the table has the width of the hidden states.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub factorized: Option<FactorizedEmbeddingConfig>,
}

/// Factorized embedding: a narrow token table, and a linear map to the hidden size.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct FactorizedEmbeddingConfig {
    /// Width of the token table.
    pub width: usize,
    /// Use a bias in the projection.
    pub bias: bool,
    /// When embeddings are projected to the hidden size.
    pub projection: EmbeddingProjection,
}

impl Default for FactorizedEmbeddingConfig {
    fn default() -> Self {
        Self { width: 128, bias: true, projection: EmbeddingProjection::Last }
    }
}

/// When the embeddings of a factorized embedding are projected to the hidden size.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Default)]
#[serde(rename_all = "snake_case")]
pub enum EmbeddingProjection {
    /// After the norm: types, positions and norm have the width of the table (ALBERT, ELECTRA).
    #[default]
    Last,
    /// Before types and positions are added: they and the norm have the hidden size (OPT-350m).
    First,
}

impl Default for InputEmbeddingConfig {
    fn default() -> Self {
        Self { scale: 1.0, type_vocab_size: 0, norm: NormConfig::None(Default::default()), factorized: None }
    }
}

impl InputEmbeddingConfig {
    /// Returns the width of the token table for a hidden size.
    pub fn table_width(&self, hidden: usize) -> usize {
        self.factorized.as_ref().map_or(hidden, |factorized| factorized.width)
    }

    /// Returns the width of token types, added positions and the norm for a hidden size.
    pub fn sum_width(&self, hidden: usize) -> usize {
        match &self.factorized {
            Some(FactorizedEmbeddingConfig { width, projection: EmbeddingProjection::Last, .. }) => *width,
            _ => hidden,
        }
    }

    /// Checks the options at `path`.
    ///
    /// # Errors
    /// If the scale is 0 or not finite, the width is 0 or too large, there are too many token types, or the norm is invalid.
    pub fn check(&self, build: &BuildContext, path: &str) -> Result<(), ValidationError> {
        if self.scale == 0.0 || !self.scale.is_finite() {
            let reason = format!(
                "embeddings are multiplied by the scale; expected a finite number other than 0, found {}",
                self.scale
            );
            return Err(ValidationError::new(format!("{path}.scale"), reason).with_suggestion("scale = 1.0"));
        }
        if self.type_vocab_size > MAX_WIDTH {
            let reason = format!("expected at most {MAX_WIDTH} token types, found {}", self.type_vocab_size);
            return Err(
                ValidationError::new(format!("{path}.type_vocab_size"), reason).with_suggestion("type_vocab_size = 2")
            );
        }
        let width = self.table_width(build.hidden);
        if width == 0 || width > MAX_WIDTH {
            let reason = format!("expected a width from 1 to {MAX_WIDTH}, found {width}");
            return Err(ValidationError::new(format!("{path}.factorized.width"), reason));
        }
        let build = BuildContext { hidden: self.sum_width(build.hidden), ..*build };
        self.norm.check(&build, &format!("{path}.norm"))
    }
}

/// Input embedding: from token embeddings to the residual stream.
#[derive(Module, Debug)]
pub struct InputEmbedding {
    /// Token-type table, `[types, M]`.
    types: Option<Param<Tensor<2>>>,
    /// Norm of the sum.
    norm: Norm,
    /// Map of a factorized embedding, `[W, M]`.
    project_in: Option<Linear>,
    /// When the map is applied.
    #[module(skip)]
    projection_order: EmbeddingProjection,
    #[module(skip)]
    scale: f64,
}

impl InputEmbedding {
    /// Builds the module.
    pub fn init(config: &InputEmbeddingConfig, build: &BuildContext, init: &mut Initializer) -> Self {
        let sum = BuildContext { hidden: config.sum_width(build.hidden), ..*build };
        let types =
            (config.type_vocab_size > 0).then(|| init.normal("types", [config.type_vocab_size, sum.hidden], 0.02));
        let factorized = config.factorized.as_ref();
        Self {
            types,
            norm: init.scope("norm", |init| config.norm.init(&sum, init)),
            project_in: factorized.map(|f| Linear::new("project_in", [f.width, build.hidden], f.bias, init)),
            projection_order: factorized.map_or_else(Default::default, |factorized| factorized.projection),
            scale: config.scale,
        }
    }

    /// Applies the map of a factorized embedding if this is its place.
    fn project(&self, place: EmbeddingProjection, x: Tensor<3>, cx: &Context) -> Tensor<3> {
        match &self.project_in {
            Some(projection) if self.projection_order == place => projection.forward_with(x, cx),
            _ => x,
        }
    }

    /// Embeds tokens: `x [B, T, W]` are their rows of the token table. Takes [`Context::token_types`] out of the context;
    /// without them every token has type 0.
    pub fn forward(&self, x: Tensor<3>, position: &Position, cx: &mut Context) -> Tensor<3> {
        let x = if self.scale == 1.0 { x } else { x * self.scale };
        let x = self.project(EmbeddingProjection::First, x, cx);
        let x = match (&self.types, cx.token_types.take()) {
            (Some(table), Some(types)) => x + embedding(table.val(), types),
            (Some(table), None) => x + table.val().narrow(0, 0, 1).unsqueeze_dim::<3>(0),
            (None, _) => x,
        };
        let x = self.norm.forward(position.embed(x, cx));
        self.project(EmbeddingProjection::Last, x, cx)
    }
}
