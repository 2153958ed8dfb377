//! The window: −after ≤ i − j ≤ before for query i and key j (Longformer, 2004.05150; Mistral, 2310.06825).

use super::{PatternRule, query_minus_key, saturating_i32};
use crate::{
    cache_policy::CachePolicy,
    card::Card,
    formula::{Formula, Term},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub(super) const CARD: Card = Card {
    state: "the window",
    time: "T × window",
    example: "{ window = { before = 4 } }",
    ..Card::config_only("2004.05150, 2310.06825")
};

/// Neighbours on both sides, counted without the token itself.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq, Hash)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// Number of visible tokens before the token itself.
    pub before: u32,
    /// Number of visible tokens after the token itself.
    #[serde(default)]
    pub after: u32,
}

impl PatternRule for Window {
    fn formula(&self) -> Formula {
        Formula::And(vec![
            Formula::LessOrEqual(query_minus_key(), Term::Constant(saturating_i32(self.before))),
            Formula::LessOrEqual(Term::Constant(-saturating_i32(self.after)), query_minus_key()),
        ])
    }

    fn cache_policy(&self) -> CachePolicy {
        CachePolicy::Last((self.before as usize).saturating_add(1))
    }

    fn describe(&self) -> String {
        format!("window of {} before, {} after", self.before, self.after)
    }
}
