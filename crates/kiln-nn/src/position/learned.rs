//! Learned positions: x + table\[position\] (1706.03762; GPT-2, BERT).

use super::PositionEncoding;
use crate::{
    context::Context,
    init::Initializer,
    variant::{BuildContext, Card, Variant},
};
use burn::{
    module::{Module, Param},
    tensor::{Tensor, module::embedding},
};
use kiln_spec::{ValidationError, formula::MarkField};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Options of [`Learned`].
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct LearnedPositionConfig {
    /// Number of positions. Longer sequences are refused.
    pub max_position_embeddings: usize,
    /// Index of the first position in the table (2 in RoBERTa and OPT).
    pub offset: usize,
}

impl Default for LearnedPositionConfig {
    fn default() -> Self {
        Self { max_position_embeddings: 1024, offset: 0 }
    }
}

/// A table of positions.
#[derive(Module, Debug)]
pub struct LearnedPosition {
    weight: Param<Tensor<2>>,
    #[module(skip)]
    offset: usize,
}

impl Variant for LearnedPosition {
    type Config = LearnedPositionConfig;
    const CARD: Card = Card { incompatible_with: "positions beyond its table", ..Card::new("learned", "1706.03762") };

    fn check(config: &LearnedPositionConfig, _around: &BuildContext, path: &str) -> Result<(), ValidationError> {
        let many = |key: &str, count: usize| {
            Err(ValidationError::new(format!("{path}.{key}"), format!("at most {} positions, found {count}", 1 << 28)))
        };
        match (config.max_position_embeddings, config.offset) {
            (length, _) if length > 1 << 28 => many("max_position_embeddings", length),
            (_, offset) if offset > 1 << 28 => many("offset", offset),
            (0, _) => Err(ValidationError::new(format!("{path}.max_position_embeddings"), "a table of no positions")
                .with_suggestion("max_position_embeddings = 1024")),
            _ => Ok(()),
        }
    }

    fn init(config: &LearnedPositionConfig, around: &BuildContext, init: &mut Initializer) -> Self {
        let weight = init.normal("weight", [config.offset + config.max_position_embeddings, around.hidden], 0.02);
        Self { weight, offset: config.offset }
    }
}

impl PositionEncoding for LearnedPosition {
    fn embed(&self, x: Tensor<3>, cx: &mut Context) -> Tensor<3> {
        let positions = cx.stream.tokens.field(MarkField::Position).clone();
        x + embedding(self.weight.val(), positions + self.offset as i32)
    }
}
