//! What stands before the first block: (scale · token + type + position), normalised if asked for (1810.04805, fig. 2).

use crate::{
    cx::Cx,
    init::Init,
    norm::{Norm, NormConfig},
    position::Position,
    variant::{Around, WIDEST},
};
use burn::{
    module::{Module, Param},
    tensor::{Tensor, module::embedding},
};
use kiln_spec::Refusal;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Options of [`Embed`].
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct EmbedConfig {
    /// The embeddings of tokens are multiplied by it.
    pub scale: f64,
    /// Types of tokens, each with a vector that is added (BERT's segments: which sentence of a pair a token is of). A
    /// call says the type of each token; it is 0 where nothing is said. 0: no types.
    pub types: usize,
    /// The norm of the sum.
    pub norm: NormConfig,
}

impl Default for EmbedConfig {
    fn default() -> Self {
        Self { scale: 1.0, types: 0, norm: NormConfig::None(Default::default()) }
    }
}

impl EmbedConfig {
    /// Refuses what can't be.
    ///
    /// # Errors
    /// The first thing that can't be.
    pub fn check(&self, around: &Around, path: &str) -> Result<(), Refusal> {
        if self.scale == 0.0 || !self.scale.is_finite() {
            let reason = format!("embeddings are multiplied by it: a finite number other than 0, found {}", self.scale);
            return Err(Refusal::new(format!("{path}.scale"), reason).instead("scale = 1.0"));
        }
        if self.types > WIDEST {
            let reason = format!("at most {WIDEST} types of tokens, found {}", self.types);
            return Err(Refusal::new(format!("{path}.types"), reason).instead("types = 2"));
        }
        self.norm.check(around, &format!("{path}.norm"))
    }
}

/// From embeddings of tokens to what the first block reads.
#[derive(Module, Debug)]
pub struct Embed {
    /// `[types, M]`.
    types: Option<Param<Tensor<2>>>,
    norm: Norm,
    #[module(skip)]
    scale: f64,
}

impl Embed {
    /// Makes it.
    pub fn init(config: &EmbedConfig, around: &Around, init: &mut Init) -> Self {
        let types = (config.types > 0).then(|| init.normal("types", [config.types, around.hidden], 0.02));
        Self { types, norm: init.scope("norm", |init| config.norm.init(around, init)), scale: config.scale }
    }

    /// Embeddings of tokens, `[B, T, M] → [B, T, M]`. Takes the types of the tokens out of the context.
    pub fn forward(&self, x: Tensor<3>, position: &Position, cx: &mut Cx) -> Tensor<3> {
        let x = if self.scale == 1.0 { x } else { x * self.scale };
        let said = cx.types.take();
        let x = match (&self.types, said) {
            (Some(table), Some(types)) => x + embedding(table.val(), types),
            (Some(table), None) => x + table.val().narrow(0, 0, 1).unsqueeze_dim::<3>(0),
            (None, _) => x,
        };
        self.norm.forward(position.embed(x, cx))
    }
}
