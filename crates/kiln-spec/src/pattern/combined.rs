//! Combined patterns: the intersection (`and`) and the union (`or`) of a list of patterns.
//!
//! Both can be nested. `and` of an empty list allows every key, `or` of an empty list allows none.

use super::{Pattern, PatternRule};
use crate::{cache_policy::CachePolicy, card::Card, formula::Formula};

/// Card of the intersection.
pub(super) const AND: Card = Card {
    state: "at most the smallest cache of its members",
    example: "{ and = [{ window = { before = 6 } }, { strided = { stride = 2 } }] }",
    ..Card::config_only("2004.05150, dilated window")
};

/// Card of the union.
pub(super) const OR: Card = Card {
    state: "the first and the last tokens that its members keep; T if a member keeps T",
    example: "{ or = [{ window = { before = 2 } }, { strided = { stride = 3 } }] }",
    ..Card::config_only("1904.10509, 2007.14062")
};

/// List of patterns with an operation.
pub(super) struct CombinedPattern<'a> {
    patterns: &'a [Pattern],
    combine_formulas: fn(Vec<Formula>) -> Formula,
    combine_policies: fn(CachePolicy, CachePolicy) -> CachePolicy,
    /// Cache policy of an empty list.
    empty_policy: CachePolicy,
    separator: &'static str,
}

/// Intersection of patterns.
pub(super) fn all_of(patterns: &[Pattern]) -> CombinedPattern<'_> {
    CombinedPattern {
        patterns,
        combine_formulas: Formula::And,
        combine_policies: CachePolicy::intersection,
        empty_policy: CachePolicy::All,
        separator: " AND ",
    }
}

/// Union of patterns. For an empty list the cache keeps the newest key, because a cache is never empty.
pub(super) fn any_of(patterns: &[Pattern]) -> CombinedPattern<'_> {
    CombinedPattern {
        patterns,
        combine_formulas: Formula::Or,
        combine_policies: CachePolicy::union,
        empty_policy: CachePolicy::Last(1),
        separator: " OR ",
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
        self.patterns.iter().map(with_parentheses).collect::<Vec<_>>().join(self.separator)
    }
}

/// Description of a member; a combined pattern in parentheses.
fn with_parentheses(pattern: &Pattern) -> String {
    match pattern {
        Pattern::And(_) | Pattern::Or(_) => format!("({pattern})"),
        pattern => pattern.to_string(),
    }
}
