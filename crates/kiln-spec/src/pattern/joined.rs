//! The algebra: all of several patterns at once, or any of them.

use super::{Geometry, Pattern};
use crate::{card::Card, formula::Formula, keep::Keep};

pub(super) const AND: Card = Card {
    state: "the least of its members, if one is bounded",
    example: "{ and = [{ window = { before = 6 } }, { strided = { stride = 2 } }] }",
    ..Card::data("2004.05150, dilated window")
};

pub(super) const OR: Card = Card {
    state: "the most of its members",
    example: "{ or = [{ window = { before = 2 } }, { strided = { stride = 3 } }] }",
    ..Card::data("1904.10509, 2007.14062")
};

/// Patterns under one of the two.
pub(super) struct Joined<'a> {
    patterns: &'a [Pattern],
    formula: fn(Vec<Formula>) -> Formula,
    keep: fn(Keep, Keep) -> Keep,
    /// What a cache keeps under no pattern.
    none: Keep,
    word: &'static str,
}

/// All at once; of none, everything.
pub(super) fn every(patterns: &[Pattern]) -> Joined<'_> {
    Joined { patterns, formula: Formula::And, keep: Keep::both, none: Keep::All, word: " and " }
}

/// Any; of none, nothing. A cache then keeps the newest token, since none can be empty.
pub(super) fn some(patterns: &[Pattern]) -> Joined<'_> {
    Joined { patterns, formula: Formula::Or, keep: Keep::either, none: Keep::Last(1), word: " or " }
}

impl Geometry for Joined<'_> {
    fn formula(&self) -> Formula {
        (self.formula)(self.patterns.iter().map(Pattern::formula).collect())
    }

    fn keep(&self) -> Keep {
        self.patterns.iter().map(Pattern::keep).reduce(self.keep).unwrap_or(self.none)
    }

    fn describe(&self) -> String {
        let word = |pattern: &Pattern| match pattern {
            Pattern::And(_) | Pattern::Or(_) => format!("({pattern})"),
            pattern => pattern.to_string(),
        };
        self.patterns.iter().map(word).collect::<Vec<_>>().join(self.word)
    }
}
