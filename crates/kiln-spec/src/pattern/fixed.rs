//! Fixed attention: j mod stride ≥ stride − summaries for key position j, independent of the query.
//!
//! This is A⁽²⁾ of fixed attention in the Sparse Transformer (1904.10509, section 4.3); its A⁽¹⁾ is `blocks`. The tokens at
//! the end of each stride learn to summarize it for later tokens.

use super::{PatternRule, saturating_i32};
use crate::{
    cache_policy::CachePolicy,
    card::Card,
    formula::{Formula, MarkField::Position, Term},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::num::NonZeroU32;

/// Card of fixed attention.
pub(super) const CARD: Card = Card {
    state: "T, although later tokens see only T × summaries / stride of them",
    time: "T² × summaries / stride",
    // Alone, the first tokens would have no visible key.
    example: "{ or = [{ blocks = { size = 3 } }, { fixed = { stride = 3 } }] }",
    ..Card::config_only("1904.10509")
};

/// The last tokens of every stride of a document are visible to all tokens.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq, Hash)]
#[serde(deny_unknown_fields)]
pub struct Fixed {
    /// Length of a stride in tokens.
    pub stride: NonZeroU32,
    /// Number of visible tokens at the end of each stride (c in the paper).
    #[serde(default = "default_summaries")]
    pub summaries: u32,
}

/// One summary token per stride.
fn default_summaries() -> u32 {
    1
}

impl PatternRule for Fixed {
    fn formula(&self) -> Formula {
        let stride = saturating_i32(self.stride.get());
        let first_summary = stride - saturating_i32(self.summaries);
        let position_in_stride = Term::Modulo(Box::new(Term::key(Position)), stride);
        Formula::LessOrEqual(Term::Constant(first_summary), position_in_stride)
    }

    /// Summary tokens are visible to all later tokens. A cache without the others would have gaps, so all keys are kept.
    fn cache_policy(&self) -> CachePolicy {
        CachePolicy::All
    }

    fn describe(&self) -> String {
        format!("last {} of every {} tokens", self.summaries, self.stride)
    }
}
