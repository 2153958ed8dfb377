//! Sliding window: −after ≤ i − j ≤ before for query position i and key position j.
//!
//! Longformer (2004.05150) uses symmetric windows, Mistral (2310.06825) causal ones. A window of W tokens in the Hugging
//! Face sense, which counts the token itself, is `before = W − 1`.

use super::{PatternRule, query_minus_key, saturating_i32};
use crate::{
    cache_policy::CachePolicy,
    card::Card,
    formula::{Formula, Term},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Card of the sliding window.
pub(super) const CARD: Card = Card {
    state: "before + 1",
    time: "T × (before + after + 1)",
    example: "{ window = { before = 4 } }",
    ..Card::config_only("2004.05150, 2310.06825")
};

/// Sliding window: each token attends to itself, and to a number of tokens before and after it.
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

    /// The next token attends to `before` earlier keys and to itself.
    fn cache_policy(&self) -> CachePolicy {
        CachePolicy::Last((self.before as usize).saturating_add(1))
    }

    fn describe(&self) -> String {
        format!("window of {} before, {} after", self.before, self.after)
    }
}
