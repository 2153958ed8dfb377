//! Global tokens: i < first or j < first for query position i and key position j.
//!
//! Longformer (2004.05150, section 3.1) and BigBird (2007.14062, internal transformer construction). In an `or` with a
//! window, the first tokens also act as attention sinks (StreamingLLM, 2309.17453).

use super::{PatternRule, saturating_i32};
use crate::{
    cache_policy::CachePolicy,
    card::Card,
    formula::{Formula, MarkField::Position, Term},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::num::NonZeroU32;

/// Card of global tokens.
pub(super) const CARD: Card = Card {
    state: "the first tokens (option first)",
    time: "T × first",
    example: "{ or = [{ global_tokens = { first = 2 } }, { window = { before = 3 } }] }",
    ..Card::config_only("2004.05150, 2007.14062")
};

/// The first tokens of each document attend to all tokens and all tokens attend to them, except where the causal mask
/// forbids it.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq, Hash)]
#[serde(deny_unknown_fields)]
pub struct GlobalTokens {
    /// Number of global tokens at the start of each document.
    pub first: NonZeroU32,
}

impl PatternRule for GlobalTokens {
    fn formula(&self) -> Formula {
        let last_global = Term::Constant(saturating_i32(self.first.get()) - 1);
        Formula::Or(vec![
            Formula::LessOrEqual(Term::query(Position), last_global.clone()),
            Formula::LessOrEqual(Term::key(Position), last_global),
        ])
    }

    /// Later tokens attend to the first ones only. The global tokens themselves come before all other keys.
    fn cache_policy(&self) -> CachePolicy {
        CachePolicy::first_and_last(self.first.get() as usize, 0)
    }

    fn describe(&self) -> String {
        format!("first {} tokens global", self.first)
    }
}
