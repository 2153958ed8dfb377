//! Blocks: −after ≤ ⌊i / size⌋ − ⌊j / size⌋ ≤ before for query i and key j: block-diagonal by default (blockwise
//! attention, 1911.02972), with neighbours the banded part of BigBird (2007.14062).

use super::{PatternRule, saturating_i32};
use crate::{
    cache_policy::CachePolicy,
    card::Card,
    formula::{Formula, MarkField::Position, Term},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::num::NonZeroU32;

pub(super) const CARD: Card = Card {
    state: "(1 + before) × size",
    time: "T × (1 + before) × size",
    example: "{ blocks = { size = 3, before = 1 } }",
    ..Card::config_only("1911.02972, 2007.14062")
};

/// Blocks of neighbouring tokens: a token sees its own, and as many before and after it as asked for.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq, Hash)]
#[serde(deny_unknown_fields)]
pub struct Blocks {
    /// Block size in tokens.
    pub size: NonZeroU32,
    /// Number of visible blocks before the token's own.
    #[serde(default)]
    pub before: u32,
    /// Number of visible blocks after the token's own.
    #[serde(default)]
    pub after: u32,
}

impl PatternRule for Blocks {
    fn formula(&self) -> Formula {
        let block = |place| Term::FloorDiv(Box::new(place), saturating_i32(self.size.get()));
        let behind = || block(Term::query(Position)).minus(block(Term::key(Position)));
        Formula::And(vec![
            Formula::LessOrEqual(behind(), Term::Constant(saturating_i32(self.before))),
            Formula::LessOrEqual(Term::Constant(-saturating_i32(self.after)), behind()),
        ])
    }

    /// The last token of a block sees farthest back: to the first of the earliest block.
    fn cache_policy(&self) -> CachePolicy {
        CachePolicy::Last((self.before as usize).saturating_add(1).saturating_mul(self.size.get() as usize))
    }

    fn describe(&self) -> String {
        let beside = match (self.before, self.after) {
            (0, 0) => String::new(),
            (before, after) => format!(", {before} before, {after} after"),
        };
        format!("blocks of {}{beside}", self.size)
    }
}
