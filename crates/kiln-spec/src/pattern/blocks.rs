//! Block-local attention: −after ≤ ⌊i/size⌋ − ⌊j/size⌋ ≤ before for query position i and key position j.
//!
//! Without neighbors it is block-diagonal (blockwise attention, 1911.02972); with neighbors it is the banded part of
//! BigBird (2007.14062). Blocks start at position 0 of each document.

use super::{PatternRule, saturating_i32};
use crate::{
    cache_policy::CachePolicy,
    card::Card,
    formula::{Formula, MarkField::Position, Term},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::num::NonZeroU32;

/// Card of block-local attention.
pub(super) const CARD: Card = Card {
    state: "(1 + before) × size",
    time: "T × (1 + before) × size",
    example: "{ blocks = { size = 3, before = 1 } }",
    ..Card::config_only("1911.02972, 2007.14062")
};

/// Each token attends to its own block, and to a number of blocks before and after it.
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
        let block_of = |position| Term::FloorDiv(Box::new(position), saturating_i32(self.size.get()));
        let distance = block_of(Term::query(Position)).minus(block_of(Term::key(Position)));
        Formula::And(vec![
            Formula::LessOrEqual(distance.clone(), Term::Constant(saturating_i32(self.before))),
            Formula::LessOrEqual(Term::Constant(-saturating_i32(self.after)), distance),
        ])
    }

    /// The last token of a block reaches back furthest: to the first token of the earliest visible block.
    fn cache_policy(&self) -> CachePolicy {
        CachePolicy::Last((self.before as usize).saturating_add(1).saturating_mul(self.size.get() as usize))
    }

    fn describe(&self) -> String {
        let neighbors = match (self.before, self.after) {
            (0, 0) => String::new(),
            (before, after) => format!(", {before} before, {after} after"),
        };
        format!("blocks of {}{neighbors}", self.size)
    }
}
