//! The algebra: all of several patterns at once, or any of them.

use super::{Pattern, PatternRule};
use crate::{cache_policy::CachePolicy, card::Card, formula::Formula};

pub(super) const AND: Card = Card {
    state: "the least of its members, if one is bounded",
    example: "{ and = [{ window = { before = 6 } }, { strided = { stride = 2 } }] }",
    ..Card::config_only("2004.05150, dilated window")
};

pub(super) const OR: Card = Card {
    state: "the most of its members",
    example: "{ or = [{ window = { before = 2 } }, { strided = { stride = 3 } }] }",
    ..Card::config_only("1904.10509, 2007.14062")
};

/// Patterns under one of the two.
pub(super) struct CombinedPattern<'a> {
    patterns: &'a [Pattern],
    combine_formulas: fn(Vec<Formula>) -> Formula,
    combine_policies: fn(CachePolicy, CachePolicy) -> CachePolicy,
    /// What a cache keeps under no pattern.
    empty_policy: CachePolicy,
    separator: &'static str,
}

/// All at once; of none, everything.
pub(super) fn all_of(patterns: &[Pattern]) -> CombinedPattern<'_> {
    CombinedPattern {
        patterns,
        combine_formulas: Formula::And,
        combine_policies: CachePolicy::intersection,
        empty_policy: CachePolicy::All,
        separator: " and ",
    }
}

/// Any; of none, nothing. A cache then keeps the newest token, since none can be empty.
pub(super) fn any_of(patterns: &[Pattern]) -> CombinedPattern<'_> {
    CombinedPattern {
        patterns,
        combine_formulas: Formula::Or,
        combine_policies: CachePolicy::union,
        empty_policy: CachePolicy::Last(1),
        separator: " or ",
    }
}

impl PatternRule for CombinedPattern<'_> {
    fn formula(&self) -> Formula {
        (self.combine_formulas)(self.patterns.iter().map(Pattern::formula).collect())
    }

    fn cache_policy(&self) -> CachePolicy {
        self.patterns.iter().map(Pattern::cache_policy).reduce(self.combine_policies).unwrap_or(self.empty_policy)
    }

    fn describe(&self) -> String {
        let word = |pattern: &Pattern| match pattern {
            Pattern::And(_) | Pattern::Or(_) => format!("({pattern})"),
            pattern => pattern.to_string(),
        };
        self.patterns.iter().map(word).collect::<Vec<_>>().join(self.separator)
    }
}
