//! Blocks: −after ≤ ⌊i / size⌋ − ⌊j / size⌋ ≤ before for query i and key j: block-diagonal by default (blockwise
//! attention, 1911.02972), with neighbours the banded part of BigBird (2007.14062).

use super::{Geometry, clamp};
use crate::{
    card::Card,
    formula::{Field::Position, Formula, Term},
    keep::Keep,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::num::NonZeroU32;

pub(super) const CARD: Card = Card {
    state: "(1 + before) × size",
    time: "T × (1 + before) × size",
    example: "{ blocks = { size = 3, before = 1 } }",
    ..Card::data("1911.02972, 2007.14062")
};

/// Blocks of neighbouring tokens: a token sees its own, and as many before and after it as asked for.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq, Hash)]
#[serde(deny_unknown_fields)]
pub struct Blocks {
    /// Tokens of a block.
    pub size: NonZeroU32,
    /// How many blocks before its own a token sees.
    #[serde(default)]
    pub before: u32,
    /// How many blocks after its own a token sees.
    #[serde(default)]
    pub after: u32,
}

impl Geometry for Blocks {
    fn formula(&self) -> Formula {
        let block = |place| Term::Over(Box::new(place), clamp(self.size.get()));
        let behind = || block(Term::query(Position)).minus(block(Term::key(Position)));
        Formula::And(vec![
            Formula::AtMost(behind(), Term::Constant(clamp(self.before))),
            Formula::AtMost(Term::Constant(-clamp(self.after)), behind()),
        ])
    }

    /// The last token of a block sees farthest back: to the first of the earliest block.
    fn keep(&self) -> Keep {
        Keep::Last((self.before as usize).saturating_add(1).saturating_mul(self.size.get() as usize))
    }

    fn describe(&self) -> String {
        let beside = match (self.before, self.after) {
            (0, 0) => String::new(),
            (before, after) => format!(", {before} before, {after} after"),
        };
        format!("blocks of {}{beside}", self.size)
    }
}
