//! Learned positions: x + table\[position\] (1706.03762; GPT-2, BERT).

use super::Positional;
use crate::{
    cx::Cx,
    init::Init,
    variant::{Around, Card, Variant},
};
use burn::{
    module::{Module, Param},
    tensor::{Tensor, module::embedding},
};
use kiln_spec::{Refusal, formula::Field};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Options of [`Learned`].
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct LearnedConfig {
    /// How many positions there are; a longer sequence is refused.
    pub length: usize,
    /// Rows of the table before that of the first position, which no token reads (2 in RoBERTa and OPT).
    pub offset: usize,
}

impl Default for LearnedConfig {
    fn default() -> Self {
        Self { length: 1024, offset: 0 }
    }
}

/// A table of positions.
#[derive(Module, Debug)]
pub struct Learned {
    weight: Param<Tensor<2>>,
    #[module(skip)]
    offset: usize,
}

impl Variant for Learned {
    type Config = LearnedConfig;
    const CARD: Card = Card { refuses: "positions beyond its table", ..Card::new("learned", "1706.03762") };

    fn check(config: &LearnedConfig, _around: &Around, path: &str) -> Result<(), Refusal> {
        let many = |key: &str, count: usize| {
            Err(Refusal::new(format!("{path}.{key}"), format!("at most {} positions, found {count}", 1 << 28)))
        };
        match (config.length, config.offset) {
            (length, _) if length > 1 << 28 => many("length", length),
            (_, offset) if offset > 1 << 28 => many("offset", offset),
            (0, _) => Err(Refusal::new(format!("{path}.length"), "a table of no positions").instead("length = 1024")),
            _ => Ok(()),
        }
    }

    fn init(config: &LearnedConfig, around: &Around, init: &mut Init) -> Self {
        let weight = init.normal("weight", [config.offset + config.length, around.hidden], 0.02);
        Self { weight, offset: config.offset }
    }
}

impl Positional for Learned {
    fn embed(&self, x: Tensor<3>, cx: &mut Cx) -> Tensor<3> {
        let positions = cx.stream.now.field(Field::Position).clone();
        x + embedding(self.weight.val(), positions + self.offset as i32)
    }
}
