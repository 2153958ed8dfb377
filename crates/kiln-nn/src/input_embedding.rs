//! What stands before the first block: (scale · token + type + position), normalised if asked for (1810.04805, fig. 2).

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

/// Options of [`Embed`].
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
    /// Refuses what can't be.
    ///
    /// # Errors
    /// The first thing that can't be.
    pub fn check(&self, around: &BuildContext, path: &str) -> Result<(), ValidationError> {
        if self.scale == 0.0 || !self.scale.is_finite() {
            let reason = format!("embeddings are multiplied by it: a finite number other than 0, found {}", self.scale);
            return Err(ValidationError::new(format!("{path}.scale"), reason).with_suggestion("scale = 1.0"));
        }
        if self.type_vocab_size > MAX_WIDTH {
            let reason = format!("at most {MAX_WIDTH} types of tokens, found {}", self.type_vocab_size);
            return Err(
                ValidationError::new(format!("{path}.type_vocab_size"), reason).with_suggestion("type_vocab_size = 2")
            );
        }
        self.norm.check(around, &format!("{path}.norm"))
    }
}

/// From embeddings of tokens to what the first block reads.
#[derive(Module, Debug)]
pub struct InputEmbedding {
    /// `[types, M]`.
    types: Option<Param<Tensor<2>>>,
    norm: Norm,
    #[module(skip)]
    scale: f64,
}

impl InputEmbedding {
    /// Makes it.
    pub fn init(config: &InputEmbeddingConfig, around: &BuildContext, init: &mut Initializer) -> Self {
        let types =
            (config.type_vocab_size > 0).then(|| init.normal("types", [config.type_vocab_size, around.hidden], 0.02));
        Self { types, norm: init.scope("norm", |init| config.norm.init(around, init)), scale: config.scale }
    }

    /// Embeddings of tokens, `[B, T, M] → [B, T, M]`. Takes the types of the tokens out of the context.
    pub fn forward(&self, x: Tensor<3>, position: &Position, cx: &mut Context) -> Tensor<3> {
        let x = if self.scale == 1.0 { x } else { x * self.scale };
        let said = cx.token_types.take();
        let x = match (&self.types, said) {
            (Some(table), Some(types)) => x + embedding(table.val(), types),
            (Some(table), None) => x + table.val().narrow(0, 0, 1).unsqueeze_dim::<3>(0),
            (None, _) => x,
        };
        self.norm.forward(position.embed(x, cx))
    }
}
