//! Learned position embeddings: x + table\[position + offset\] (1706.03762, section 3.5; GPT-2, BERT).
//!
//! Parameters: `weight [offset + positions, M]`, normal with standard deviation 0.02. Sequences longer than the table are
//! refused before they run ([`PositionNeeds::max_positions`]).

use super::{PositionEncoding, PositionNeeds};
use crate::{
    context::Context,
    init::Initializer,
    variant::{BuildContext, Card, Variant, invalid},
};
use burn::{
    module::{Module, Param},
    tensor::{Tensor, module::embedding},
};
use kiln_spec::{ValidationError, formula::MarkField};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Options of [`LearnedPosition`].
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct LearnedPositionConfig {
    /// Maximum sequence length. Longer sequences are an error.
    pub max_position_embeddings: usize,
    /// Index of the first position in the table (2 in RoBERTa and OPT).
    pub offset: usize,
}

impl Default for LearnedPositionConfig {
    fn default() -> Self {
        Self { max_position_embeddings: 1024, offset: 0 }
    }
}

impl PositionNeeds for LearnedPositionConfig {
    fn is_added_to_embedding(&self) -> bool {
        true
    }

    fn max_positions(&self) -> Option<usize> {
        Some(self.max_position_embeddings)
    }
}

/// Maximum number of positions, and maximum offset. A larger number in a recipe is treated as a mistake.
const MAX_POSITIONS: usize = 1 << 28;

/// Reason of an error about a number of positions.
fn too_many(count: usize) -> String {
    format!("expected at most {MAX_POSITIONS} positions, found {count}")
}

/// Learned position table.
#[derive(Module, Debug)]
pub struct LearnedPosition {
    /// `[offset + positions, M]`.
    weight: Param<Tensor<2>>,
    #[module(skip)]
    offset: usize,
}

impl Variant for LearnedPosition {
    type Config = LearnedPositionConfig;
    const CARD: Card = Card { incompatible_with: "positions beyond its table", ..Card::new("learned", "1706.03762") };

    fn check(config: &LearnedPositionConfig, _build: &BuildContext, path: &str) -> Result<(), ValidationError> {
        match (config.max_position_embeddings, config.offset) {
            (length, _) if length > MAX_POSITIONS => invalid(path, "max_position_embeddings", too_many(length)),
            (_, offset) if offset > MAX_POSITIONS => invalid(path, "offset", too_many(offset)),
            (0, _) => Err(ValidationError::new(
                format!("{path}.max_position_embeddings"),
                "expected at least 1 position, found 0",
            )
            .with_suggestion("max_position_embeddings = 1024")),
            _ => Ok(()),
        }
    }

    fn init(config: &LearnedPositionConfig, build: &BuildContext, init: &mut Initializer) -> Self {
        let weight = init.normal("weight", [config.offset + config.max_position_embeddings, build.hidden], 0.02);
        Self { weight, offset: config.offset }
    }
}

impl PositionEncoding for LearnedPosition {
    fn embed(&self, x: Tensor<3>, cx: &mut Context) -> Tensor<3> {
        let positions = cx.stream.tokens.field(MarkField::Position).clone();
        x + embedding(self.weight.val(), positions + self.offset as i32)
    }
}
