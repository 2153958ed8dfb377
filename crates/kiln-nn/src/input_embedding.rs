//! Input embedding: norm(scale · token + type + position), the input of the first block (1810.04805, figure 2).
//!
//! Parameters: `types [type_vocab_size, M]` (optional, normal with standard deviation 0.02), and those of the norm under
//! `norm`. The token table is the model's. BERT uses types and a norm; Gemma a scale of √M; others neither.
//!
//! Shapes: `[B, T, M] → [B, T, M]`.

use crate::{
    context::Context,
    init::Initializer,
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
}

impl Default for InputEmbeddingConfig {
    fn default() -> Self {
        Self { scale: 1.0, type_vocab_size: 0, norm: NormConfig::None(Default::default()) }
    }
}

impl InputEmbeddingConfig {
    /// Checks the options at `path`.
    ///
    /// # Errors
    /// If the scale is 0 or not finite, there are too many token types, or the norm is invalid.
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
        self.norm.check(build, &format!("{path}.norm"))
    }
}

/// Input embedding: from token embeddings to the residual stream.
#[derive(Module, Debug)]
pub struct InputEmbedding {
    /// Token-type table, `[types, M]`.
    types: Option<Param<Tensor<2>>>,
    /// Norm of the sum.
    norm: Norm,
    #[module(skip)]
    scale: f64,
}

impl InputEmbedding {
    /// Builds the module.
    pub fn init(config: &InputEmbeddingConfig, build: &BuildContext, init: &mut Initializer) -> Self {
        let types =
            (config.type_vocab_size > 0).then(|| init.normal("types", [config.type_vocab_size, build.hidden], 0.02));
        Self { types, norm: init.scope("norm", |init| config.norm.init(build, init)), scale: config.scale }
    }

    /// Embeds tokens: `x [B, T, M]` are their rows of the token table. Takes [`Context::token_types`] out of the context;
    /// without them every token has type 0.
    pub fn forward(&self, x: Tensor<3>, position: &Position, cx: &mut Context) -> Tensor<3> {
        let x = if self.scale == 1.0 { x } else { x * self.scale };
        let x = match (&self.types, cx.token_types.take()) {
            (Some(table), Some(types)) => x + embedding(table.val(), types),
            (Some(table), None) => x + table.val().narrow(0, 0, 1).unsqueeze_dim::<3>(0),
            (None, _) => x,
        };
        self.norm.forward(position.embed(x, cx))
    }
}
