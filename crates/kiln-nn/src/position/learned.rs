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
    /// How many positions the table has; a longer sequence is refused.
    pub length: usize,
}

impl Default for LearnedConfig {
    fn default() -> Self {
        Self { length: 1024 }
    }
}

/// A table of positions.
#[derive(Module, Debug)]
pub struct Learned {
    weight: Param<Tensor<2>>,
}

impl Variant for Learned {
    type Config = LearnedConfig;
    const CARD: Card = Card { refuses: "positions beyond its table", ..Card::new("learned", "1706.03762") };

    fn check(config: &LearnedConfig, _around: &Around, path: &str) -> Result<(), Refusal> {
        match config.length {
            length if length > 1 << 28 => {
                Err(Refusal::new(format!("{path}.length"), format!("at most {} positions, found {length}", 1 << 28)))
            }
            0 => Err(Refusal::new(format!("{path}.length"), "a table of no positions").instead("length = 1024")),
            _ => Ok(()),
        }
    }

    fn init(config: &LearnedConfig, around: &Around, init: &mut Init) -> Self {
        Self { weight: init.normal("weight", [config.length, around.hidden], 0.02) }
    }
}

impl Positional for Learned {
    fn embed(&self, x: Tensor<3>, cx: &mut Cx) -> Tensor<3> {
        x + embedding(self.weight.val(), cx.stream.now.field(Field::Position).clone())
    }
}
