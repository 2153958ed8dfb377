//! Global tokens: i < first or j < first for query i and key j (Longformer, 2004.05150, section 3.1; BigBird,
//! 2007.14062, internal global tokens). With `or` a window, the first tokens are also attention sinks (2309.17453).

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
    state: "the first tokens",
    time: "T × first",
    example: "{ or = [{ global_tokens = { first = 2 } }, { window = { before = 3 } }] }",
    ..Card::config_only("2004.05150, 2007.14062")
};

/// The first tokens of each document, which see all and are seen by all, as far as the direction lets them.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq, Hash)]
#[serde(deny_unknown_fields)]
pub struct GlobalTokens {
    /// Number of global tokens at the start of each document.
    pub first: NonZeroU32,
}

impl PatternRule for GlobalTokens {
    fn formula(&self) -> Formula {
        let within = |place| Formula::LessOrEqual(place, Term::Constant(saturating_i32(self.first.get()) - 1));
        Formula::Or(vec![within(Term::query(Position)), within(Term::key(Position))])
    }

    /// Later tokens see the first ones; those that see everything have themselves nothing before them but each other.
    fn cache_policy(&self) -> CachePolicy {
        CachePolicy::first_and_last(self.first.get() as usize, 0)
    }

    fn describe(&self) -> String {
        format!("the first {} see all and are seen", self.first)
    }
}
