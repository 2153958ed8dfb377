//! Strided attention: (i − j) mod stride = 0 for query position i and key position j.
//!
//! This is A⁽²⁾ of strided attention in the Sparse Transformer (1904.10509, section 4.3); its A⁽¹⁾ is a window.

use super::{PatternRule, query_minus_key, saturating_i32};
use crate::{
    cache_policy::CachePolicy,
    card::Card,
    formula::{Formula, Term},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::num::NonZeroU32;

/// Card of strided attention.
pub(super) const CARD: Card = Card {
    state: "T",
    time: "T² / stride",
    example: "{ strided = { stride = 3 } }",
    ..Card::config_only("1904.10509")
};

/// Each token attends to the tokens at multiples of a distance from it, and to itself.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq, Hash)]
#[serde(deny_unknown_fields)]
pub struct Strided {
    /// Distance between visible tokens.
    pub stride: NonZeroU32,
}

impl PatternRule for Strided {
    fn formula(&self) -> Formula {
        Formula::Equal(Term::Modulo(Box::new(query_minus_key()), saturating_i32(self.stride.get())), Term::Constant(0))
    }

    /// Each key is visible again after every further stride.
    fn cache_policy(&self) -> CachePolicy {
        CachePolicy::All
    }

    fn describe(&self) -> String {
        format!("stride of {}", self.stride)
    }
}
